#include <gtest/gtest.h>

#include <vector>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

TEST(Size, ReadsWhatPeopleWrite) {
  EXPECT_EQ(size_from_string("2G"), 2'000'000'000);
  EXPECT_EQ(size_from_string("500M"), 500'000'000);
  EXPECT_EQ(size_from_string("1.5GB"), 1'500'000'000);
  EXPECT_EQ(size_from_string("20k"), 20'000);
  EXPECT_EQ(size_from_string("20KB"), 20'000);
  EXPECT_EQ(size_from_string("1T"), 1'000'000'000'000);
  EXPECT_EQ(size_from_string("512Mi"), 512LL << 20);
  EXPECT_EQ(size_from_string("1.5GiB"), 3LL << 29);
  EXPECT_EQ(size_from_string("4Ki"), 4096);
  EXPECT_EQ(size_from_string("1Ti"), 1LL << 40);
  EXPECT_EQ(size_from_string("1000000"), 1'000'000);
  EXPECT_EQ(size_from_string("7B"), 7);
}

TEST(Size, RefusesTheRest) {
  for (const auto* text : {"", "G", "B", "2 G", "2g", "2m", "-5M", "0", "0G", "0.1", "nan", "infG", "1e3M", "9999999999T",
                           "2GBB", "2MG", "G2", "1,5G"}) {
    EXPECT_THROW((void)size_from_string(text), Error) << text;
  }
}

TEST(Size, OfThisProcessGrowsWithWhatItKeeps) {
  const auto before = resident_bytes();
  ASSERT_GT(before, 1'000'000);
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const std::vector<char> kept(kBytes, '\1');
  EXPECT_GT(resident_bytes() - before, static_cast<std::int64_t>(kBytes) * 9 / 10) << kept[7];
}

}  // namespace
}  // namespace whimbrel
