#include "whimbrel/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "core/cgroup.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::DoubleNear;

TEST(Shape, CountsItsElements) {
  EXPECT_EQ(element_count({8, 3, 128, 313}), 8 * 3 * 128 * 313);
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({4, 0}), 0);
}

TEST(Shape, WritesAFreeAxisAsAQuestionMark) { EXPECT_EQ(to_string(Shape{-1, 3, 128}), "[?, 3, 128]"); }

TEST(Error, KeepsItsCodeAndMessage) {
  try {
    throw Error(ErrorCode::bad_manifest, "b0.toml: no labels");
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "b0.toml: no labels");
    EXPECT_EQ(dynamic_cast<const Error&>(error).code(), ErrorCode::bad_manifest);
    EXPECT_EQ(to_string(ErrorCode::bad_manifest), "bad_manifest");
  }
}

TEST(Log, GoesToTheSinkAndNowhereElseByDefault) {
  ::testing::internal::CaptureStderr();
  log(LogLevel::error, "unheard");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  log(LogLevel::info, "heard");
  set_log_sink({});
  log(LogLevel::info, "unheard again");
  EXPECT_THAT(lines, ::testing::ElementsAre("heard"));
}

TEST(ClosestWord, FindsATypoAndRefusesAStranger) {
  const std::vector<std::string> keys = {"n_fft", "hop_samples", "n_mels"};
  EXPECT_EQ(closest_word("n_mel", keys), "n_mels");
  EXPECT_EQ(closest_word("hop_sample", keys), "hop_samples");
  EXPECT_EQ(closest_word("nfft", keys), "n_fft");
  EXPECT_EQ(closest_word("colour", keys), "");
  EXPECT_EQ(closest_word("", keys), "");
  EXPECT_EQ(closest_word("ab", {"cd"}), "");  // every two-letter word is two edits from any other
}

TEST(Clock, ProcessStartLiesBeforeNowAndDoesNotMove) {
  const auto start = process_start();
  EXPECT_LT(start, Clock::now());
  EXPECT_LT(seconds_between(start, Clock::now()), 3600);
  EXPECT_EQ(process_start(), start);
}

TEST(Clock, CpuTimeGrowsWithWork) {
  const double process = process_cpu_s(), thread = thread_cpu_s();
  volatile double x = 1;
  for (int i = 0; i < 3'000'000; ++i) x = x * 1.0000001;
  EXPECT_GT(thread_cpu_s(), thread);
  EXPECT_GT(process_cpu_s(), process);
  EXPECT_GT(peak_rss_bytes(), 1 << 20);
}

TEST(CpuInfo, AllowsNoMoreCoresThanTheAffinityMask) {
  std::jthread pinned([] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    const CpuInfo cpu = cpu_info();
    EXPECT_EQ(cpu.cores_affinity, 1);
    EXPECT_EQ(cpu.cores_allowed, 1);
  });
}

TEST(CpuInfo, AgreesWithTheCompilersOwnCpuCheck) {
  const CpuInfo cpu = cpu_info();
  const auto has = [&](const char* flag) { return std::find(cpu.isa.begin(), cpu.isa.end(), flag) != cpu.isa.end(); };
  __builtin_cpu_init();
  EXPECT_EQ(has("avx2"), __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(has("fma"), __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(has("avx512f"), __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(has("avx512_vnni"), __builtin_cpu_supports("avx512vnni") != 0);
  EXPECT_FALSE(cpu.model.empty());
  EXPECT_FALSE(cpu.precision_hint.empty());
}

/// A made-up cgroup file system: only what is read.
class Cgroup : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(root_); }
  void TearDown() override { fs::remove_all(root_); }
  void write(const fs::path& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  double quota(const std::string& membership) const {
    write("membership", membership);
    return cgroup_cpu_quota(root_ / "membership", root_);
  }
  fs::path root_ = fs::path(::testing::TempDir()) / ("cgroup-" + std::to_string(getpid()));
};

TEST_F(Cgroup, GivesTheQuotaOfVersionTwo) {
  write("box/cpu.max", "150000 100000\n");
  EXPECT_THAT(quota("0::/box\n"), DoubleNear(1.5, 1e-12));
}

TEST_F(Cgroup, TakesTheSmallestQuotaOnTheWayUp) {
  write("slice/cpu.max", "100000 100000\n");
  write("slice/box/cpu.max", "400000 100000\n");
  EXPECT_THAT(quota("0::/slice/box\n"), DoubleNear(1.0, 1e-12));
}

TEST_F(Cgroup, IsUnlimitedWhereTheQuotaIsMaxOrMissing) {
  write("box/cpu.max", "max 100000\n");
  EXPECT_EQ(quota("0::/box\n"), 0);
  EXPECT_EQ(quota("0::/elsewhere\n"), 0);
}

TEST_F(Cgroup, SeesTheContainersOwnLimitAtTheRootOfTheMount) {
  write("cpu.max", "200000 100000\n");
  EXPECT_THAT(quota("0::/docker/0123\n"), DoubleNear(2.0, 1e-12));
}

TEST_F(Cgroup, ReadsVersionOne) {
  write("cpu/box/cpu.cfs_quota_us", "250000\n");
  write("cpu/box/cpu.cfs_period_us", "100000\n");
  EXPECT_THAT(quota("4:cpu,cpuacct:/box\n1:name=systemd:/\n"), DoubleNear(2.5, 1e-12));
  write("cpu/free/cpu.cfs_quota_us", "-1\n");
  write("cpu/free/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota("4:cpu,cpuacct:/free\n"), 0);
}

}  // namespace
}  // namespace whimbrel
