#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "plan/row_process.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::filesystem::path kModel = WHIMBREL_SOURCE_DIR "/examples/dawn_chorus/model/dawn_chorus.toml";

/// A program that is not whimbrel stands in for the processes; the real ones are tested from Python, through the command.
BenchResult bench_with(const std::string& program) {
  BenchOptions options{.models = {kModel}, .engines = {EngineKind::onnxruntime}, .batches = {1}, .seconds = 0.1};
  options.program = program;
  return bench(options);
}

TEST(Bench, ARowWhoseProcessEndsIsARowWithItsReason) {
  const auto result = bench_with("/bin/false");
  ASSERT_EQ(result.models.size(), 1U);
  const auto& model = result.models[0];
  ASSERT_EQ(model.rows.size(), 1U);
  EXPECT_THAT(model.rows[0].error, HasSubstr("ended by itself with code 1"));
  EXPECT_FALSE(model.best);
  EXPECT_FALSE(model.reference);
  EXPECT_EQ(model.ranking, "nothing could be measured");
  EXPECT_THAT(bench_json(result), HasSubstr("\"best\": null"));
  EXPECT_THAT(bench_csv(result), HasSubstr("ended by itself"));
}

TEST(Bench, SaysThatTheProgramCannotBeStarted) {
  EXPECT_THAT(bench_with("/nowhere/whimbrel").models.at(0).rows.at(0).error, HasSubstr("/nowhere/whimbrel: cannot start it"));
}

TEST(Bench, EndsAsSoonAsItIsAskedTo) {
  const std::atomic<bool> cancel{true};
  BenchOptions options{.models = {kModel}, .program = "/bin/cat"};
  options.cancel = &cancel;
  EXPECT_THAT([&] { (void)bench(options); }, ThrowsMessage<Error>(HasSubstr("stopped as asked")));
}

TEST(Bench, RefusesNumbersThatAreNone) {
  EXPECT_THROW((void)bench({}), Error);
  EXPECT_THROW((void)bench({.models = {kModel}, .batches = {0}}), Error);
  EXPECT_THROW((void)bench({.models = {kModel}, .seconds = std::numeric_limits<double>::quiet_NaN()}), Error);
}

TEST(Bench, SaysThatNoEngineNamedReadsTheModel) {
  EXPECT_THAT([] { (void)bench({.models = {kModel}, .engines = {EngineKind::torchscript}}); },
              ThrowsMessage<Error>(HasSubstr("none of the engines named reads this model")));
}

TEST(RowProcess, SaysHowItEndedAndThatItHas) {
  plan::RowProcess process("/bin/sh", nullptr);  // which finds no script called bench-row
  EXPECT_THAT([&] { (void)process.ask("{}"); }, ThrowsMessage<Error>(HasSubstr("ended by itself with code")));
  EXPECT_THAT([&] { (void)process.ask("{}"); }, ThrowsMessage<Error>(HasSubstr("has ended")));
}

}  // namespace
}  // namespace whimbrel
