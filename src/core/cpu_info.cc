#include <cpuid.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <sstream>
#include <thread>

#include "core/cgroup.h"
#include "whimbrel/core.h"

namespace whimbrel {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool bit(unsigned value, int position) { return (value >> position & 1U) != 0; }

/// What the operating system saves on a context switch (XCR0): a CPU flag without it is of no use.
std::uint64_t saved_state() {
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

/// Source: Intel SDM volume 2A, CPUID, leaves 1 and 7.
std::vector<std::string> read_isa() {
  const Registers one = cpuid(1), seven = cpuid(7), seven_one = cpuid(7, 1);
  const std::uint64_t saved = bit(one.ecx, 27) ? saved_state() : 0;
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
  struct Flag {
    const char* name;
    bool present;
  };
  const std::array flags = {
      Flag{"sse4_2", bit(one.ecx, 20)},
      Flag{"avx", ymm && bit(one.ecx, 28)},
      Flag{"f16c", ymm && bit(one.ecx, 29)},
      Flag{"fma", ymm && bit(one.ecx, 12)},
      Flag{"avx2", ymm && bit(seven.ebx, 5)},
      Flag{"avx_vnni", ymm && bit(seven_one.eax, 4)},
      Flag{"avx512f", zmm && bit(seven.ebx, 16)},
      Flag{"avx512bw", zmm && bit(seven.ebx, 30)},
      Flag{"avx512_vnni", zmm && bit(seven.ecx, 11)},
      Flag{"avx512_bf16", zmm && bit(seven_one.eax, 5)},
      Flag{"avx512_fp16", zmm && bit(seven.edx, 23)},
      Flag{"amx_bf16", tiles && bit(seven.edx, 22)},
      Flag{"amx_int8", tiles && bit(seven.edx, 25)},
  };
  std::vector<std::string> present;
  for (const auto& flag : flags) {
    if (flag.present) present.emplace_back(flag.name);
  }
  return present;
}

std::string read_model() {
  std::array<char, 49> brand{};
  if (__get_cpuid_max(0x80000000U, nullptr) < 0x80000004U) return "unknown";
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002U + i);
    std::memcpy(brand.data() + 16 * i, &r, 16);
  }
  std::istringstream words(brand.data());  // some vendors pad with spaces
  std::string model, word;
  while (words >> word) model += (model.empty() ? "" : " ") + word;
  return model;
}

int read_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/// Which integer kernels ONNX Runtime and OpenVINO can dispatch to, best first.
std::string best_integer_path(const std::vector<std::string>& isa) {
  for (const char* path : {"amx_int8", "avx512_vnni", "avx_vnni", "avx512bw", "avx2"}) {
    if (std::find(isa.begin(), isa.end(), path) != isa.end()) return path;
  }
  return "none";
}

std::string hint_for(const std::string& integer_path) {
  if (integer_path == "amx_int8") {
    return "INT8 should win clearly: AMX multiplies tiles of 8-bit integers in one instruction; measure small depthwise "
           "networks";
  }
  if (integer_path == "avx512_vnni" || integer_path == "avx_vnni") {
    return "INT8 should win: VNNI does four 8-bit multiply-adds into 32 bits in one instruction";
  }
  if (integer_path == "none") return "FP32: without AVX2 no engine here has fast 8-bit kernels";
  return "measure: without VNNI, INT8 takes three instructions where FP32 takes one FMA; it wins on wide convolutions (about "
         "1.5x) and "
         "often loses on depthwise ones";
}

}  // namespace

CpuInfo cpu_info() {
  CpuInfo info;
  info.model = read_model();
  info.isa = read_isa();
  info.cores_online = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  info.cores_affinity = read_affinity();
  info.cores_quota = cgroup_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  info.cores_allowed = info.cores_affinity;
  if (info.cores_quota > 0) info.cores_allowed = std::min(info.cores_allowed, static_cast<int>(std::ceil(info.cores_quota)));
  info.cores_allowed = std::max(1, info.cores_allowed);
  info.integer_path = best_integer_path(info.isa);
  info.precision_hint = hint_for(info.integer_path);
  return info;
}

}  // namespace whimbrel
