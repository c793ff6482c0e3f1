// A file that is open for reading and closes itself.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

namespace whimbrel::audio {

struct Descriptor {
  explicit Descriptor(const std::filesystem::path& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int fd;  // below 0: it cannot be opened, errno says why
};

}  // namespace whimbrel::audio
