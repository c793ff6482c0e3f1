#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

TEST(Duration, ReadsWhatPeopleWrite) {
  EXPECT_EQ(duration_from_string("2h"), 7200);
  EXPECT_EQ(duration_from_string("1h30m"), 5400);
  EXPECT_EQ(duration_from_string("1h30min15s"), 5415);
  EXPECT_EQ(duration_from_string("90min"), 5400);
  EXPECT_EQ(duration_from_string("45s"), 45);
  EXPECT_DOUBLE_EQ(duration_from_string("250ms"), 0.25);
  EXPECT_DOUBLE_EQ(duration_from_string("0.5h"), 1800);
  EXPECT_EQ(duration_from_string("7200"), 7200);
}

TEST(Duration, RefusesTheRest) {
  for (const auto* text :
       {"", "h", "2 h", "2x", "-5s", "0", "0s", "30m1h", "1h2h", "1h30", "nan", "inf", "1e400", "2hours", "s5"}) {
    EXPECT_THROW((void)duration_from_string(text), Error) << text;
  }
}

}  // namespace
}  // namespace whimbrel
