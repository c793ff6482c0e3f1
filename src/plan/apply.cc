#include <fmt/format.h>

#include "whimbrel/io.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

void check_hash(const PlannedMember& member) {
  const auto model = load_manifest(member.model).model_path;
  const auto hash = file_hash(model);
  if (hash == member.hash) return;
  throw Error(ErrorCode::bad_manifest,
              fmt::format("{}: its hash is {}, expected {}: not the file that was planned; bring that one back, or make the "
                          "plan again with whimbrel plan",
                          model.string(), hash, member.hash));
}

}  // namespace

void apply_plan(const Plan& plan, PredictOptions& options) {
  if (!options.models.empty())
    throw Error(ErrorCode::invalid_argument, "--model beside --plan, expected one of them: a plan names its models");
  const auto cpu = cpu_info().model;
  const bool same_cpu = cpu == plan.cpu;
  if (!same_cpu) {
    log(LogLevel::warning,
        fmt::format("the plan was made on {}, this is {}: its times do not hold here, and engines and batches are chosen anew; "
                    "make it again here with whimbrel plan",
                    plan.cpu, cpu));
  }
  options.members.clear();
  for (const auto& member : plan.members) {
    check_hash(member);
    options.models.push_back(member.model);
    MemberSettings settings{.weight = member.weight, .gain = member.gain};
    if (same_cpu) {  // elsewhere an INT8 model's certificate may choose the float model
      settings.model_hash = member.hash;
      settings.engine = member.engine;
      settings.batch = member.batch;
      settings.cost_s = member.cost_s;
    }
    options.members.push_back(std::move(settings));
  }
  options.cascade = plan.cascade;
  options.expected = Expectation{plan.expected_wall_s, plan.wall_margin_s, plan.workload_windows, plan.expected_score};
}

}  // namespace whimbrel
