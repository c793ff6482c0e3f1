// Preloaded (LD_PRELOAD) by the fault tests: makes the system fail as its environment says.
//   FAULT_FILES      which files are read badly: those whose path holds this text
//   FAULT_EIO_AFTER  reading them fails with EIO from this byte on
//   FAULT_HANG_AFTER  reading them never comes back from this byte on
//   FAULT_SLOW_US    reading them takes so many microseconds more each time
//   FAULT_SHORT      reads of them give an odd number of bytes, and every third one is interrupted (EINTR)
//   FAULT_CLOSE      closing what is not open ends the process: with threads it may be what another one has just opened
//   FAULT_CLOCK_S    the wall clock jumps by so many seconds, back and forth, at every call
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int is_bad(int fd) {
  const char* text = getenv("FAULT_FILES");
  char link[64], path[4096];
  if (text == NULL) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return strstr(path, text) != NULL;
}

/// How many of `count` bytes at `at` to read; -1 with errno.
static ssize_t allowed(int fd, size_t count, off_t at) {
  static unsigned calls;
  if (!is_bad(fd)) return (ssize_t)count;
  if (getenv("FAULT_HANG_AFTER") != NULL && at >= atoll(getenv("FAULT_HANG_AFTER")))
    for (;;) pause();
  if (getenv("FAULT_SLOW_US") != NULL) usleep((useconds_t)atoll(getenv("FAULT_SLOW_US")));
  if (getenv("FAULT_SHORT") != NULL && count > 0) {
    const unsigned call = __sync_add_and_fetch(&calls, 1);
    if (call % 3 == 0) {
      errno = EINTR;
      return -1;
    }
    const size_t odd = 1 + call * 37 % 997;
    if (count > odd) count = odd;
  }
  if (getenv("FAULT_EIO_AFTER") != NULL) {
    const off_t end = atoll(getenv("FAULT_EIO_AFTER"));
    if (at >= end) {
      errno = EIO;
      return -1;
    }
    if ((off_t)count > end - at) count = (size_t)(end - at);
  }
  return (ssize_t)count;
}

ssize_t read(int fd, void* to, size_t count) {
  const ssize_t n = allowed(fd, count, lseek(fd, 0, SEEK_CUR));
  return n < 0 ? n : syscall(SYS_read, fd, to, (size_t)n);
}

ssize_t pread(int fd, void* to, size_t count, off_t at) {
  const ssize_t n = allowed(fd, count, at);
  return n < 0 ? n : syscall(SYS_pread64, fd, to, (size_t)n, at);
}

ssize_t pread64(int fd, void* to, size_t count, off_t at) { return pread(fd, to, count, at); }

ssize_t __read_chk(int fd, void* to, size_t count, size_t room) {
  (void)room;
  return read(fd, to, count);
}

ssize_t __pread64_chk(int fd, void* to, size_t count, off_t at, size_t room) {
  (void)room;
  return pread(fd, to, count, at);
}

ssize_t __pread_chk(int fd, void* to, size_t count, off_t at, size_t room) {
  (void)room;
  return pread(fd, to, count, at);
}

ssize_t readv(int fd, const struct iovec* parts, int count) {
  for (int i = 0; i < count; ++i)
    if (parts[i].iov_len > 0) return read(fd, parts[i].iov_base, parts[i].iov_len);
  return 0;
}

int close(int fd) {
  const int failed = (int)syscall(SYS_close, fd);
  if (failed != 0 && errno == EBADF && getenv("FAULT_CLOSE") != NULL) {
    fprintf(stderr, "descriptor %d was closed and is not open\n", fd);
    abort();
  }
  return failed;
}

static long jump(void) {
  static int calls;
  const char* text = getenv("FAULT_CLOCK_S");
  return text != NULL && __sync_add_and_fetch(&calls, 1) % 2 == 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec* now) {
  const int failed = (int)syscall(SYS_clock_gettime, id, now);
  if (failed == 0 && id == CLOCK_REALTIME) now->tv_sec += jump();
  return failed;
}

int gettimeofday(struct timeval* now, void* zone) {
  (void)zone;
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* to) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to != NULL) *to = now.tv_sec;
  return now.tv_sec;
}
