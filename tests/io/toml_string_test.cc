#include <gtest/gtest.h>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

TEST(TomlString, QuotesWhatWouldEndIt) {
  EXPECT_EQ(toml_string("b0.onnx"), "\"b0.onnx\"");
  EXPECT_EQ(toml_string("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(toml_string("line\nbreak\x7f"), "\"line\\u000abreak\\u007f\"");
  EXPECT_EQ(toml_string("Zaunkönig"), "\"Zaunkönig\"");
}

}  // namespace
}  // namespace whimbrel
