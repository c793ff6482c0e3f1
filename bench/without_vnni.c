// A dynamic-linker audit library (rtld-audit(7)): this process and its children see an AVX2 CPU without AVX-512, VNNI and AMX.
//
// As an object is mapped, before any of its code runs, each `cpuid` (0f a2) that the table names becomes `ud2` (0f 0b) in this
// process's private memory; the files stay as they are. The SIGILL of such a `ud2` is answered with the CPU's own cpuid less the
// masked bits. bench/without_vnni.py writes the table, WHIMBREL_CPUID_TABLE: a line `device inode address...` an object.
#define _GNU_SOURCE
#include <cpuid.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <ucontext.h>
#include <unistd.h>

enum { kMaxSites = 65536 };
static const unsigned char* sites[kMaxSites];
static volatile int site_count;

#define BIT(n) (1U << (n))

/// Source: Intel SDM volume 2A, CPUID: leaf 7.0 AVX-512 and AMX; leaf 7.1 AVX-VNNI and what came after; leaf 0x24 AVX10.
static void mask(unsigned leaf, unsigned subleaf, unsigned* r) {  // r: eax, ebx, ecx, edx
  if (leaf == 7 && subleaf == 0) {
    r[1] &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
    r[2] &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
    r[3] &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
  } else if (leaf == 7 && subleaf == 1) {
    r[0] &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));
    r[3] &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19));
  } else if (leaf == 0x1d || leaf == 0x1e || leaf == 0x24) {
    r[0] = r[1] = r[2] = r[3] = 0;
  }
}

static int is_site(const unsigned char* at) {
  for (int i = 0; i < site_count; ++i) {
    if (sites[i] == at) return 1;
  }
  return 0;
}

static void on_illegal(int number, siginfo_t* info, void* context) {
  (void)info;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  if (!is_site((const unsigned char*)registers[REG_RIP])) {  // a trap of the program's own: dies of it on return
    signal(number, SIG_DFL);
    return;
  }
  const unsigned leaf = (unsigned)registers[REG_RAX], subleaf = (unsigned)registers[REG_RCX];
  unsigned r[4];
  __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
  mask(leaf, subleaf, r);
  registers[REG_RAX] = r[0];
  registers[REG_RBX] = r[1];
  registers[REG_RCX] = r[2];
  registers[REG_RDX] = r[3];
  registers[REG_RIP] += 2;
}

static void fail(const char* what, const char* object) {  // better no run than one on the wrong kernels
  fprintf(stderr, "without_vnni: %s: %s\n", object, what);
  _exit(125);
}

static void patch(unsigned char* at, const char* object) {
  if (at[0] != 0x0f || at[1] != 0xa2) fail("no cpuid where the table says; is it another build of the file?", object);
  if (site_count == kMaxSites) fail("too many cpuid instructions", object);
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)at & ~(page - 1);
  const size_t length = (uintptr_t)at + 2 - begin;
  if (mprotect((void*)begin, length, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) fail("cannot write to its code", object);
  at[1] = 0x0b;
  mprotect((void*)begin, length, PROT_READ | PROT_EXEC);
  sites[site_count] = at;
  ++site_count;
}

unsigned la_version(unsigned version) {
  struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER};
  if (getenv("WHIMBREL_CPUID_TABLE") == NULL) fail("WHIMBREL_CPUID_TABLE is not set", "rtld-audit");
  sigaction(SIGILL, &action, NULL);
  return version < LAV_CURRENT ? version : LAV_CURRENT;
}

unsigned la_objopen(struct link_map* map, Lmid_t space, uintptr_t* cookie) {
  (void)space;
  (void)cookie;
  const char* name = map->l_name[0] != '\0' ? map->l_name : "/proc/self/exe";
  struct stat file;
  if (stat(name, &file) != 0) return 0;  // the vdso
  FILE* table = fopen(getenv("WHIMBREL_CPUID_TABLE"), "r");
  if (table == NULL) fail("cannot be read", getenv("WHIMBREL_CPUID_TABLE"));
  char* line = NULL;
  size_t capacity = 0;
  while (getline(&line, &capacity, table) > 0) {
    char* rest = NULL;
    const unsigned long long device = strtoull(line, &rest, 10), inode = strtoull(rest, &rest, 10);
    if (device != file.st_dev || inode != file.st_ino) continue;
    for (char* end = rest;; rest = end) {
      const unsigned long long address = strtoull(rest, &end, 16);
      if (end == rest) break;
      patch((unsigned char*)(map->l_addr + address), name);
    }
  }
  free(line);
  fclose(table);
  return 0;  // no symbol of it is audited
}
