#include "pipeline/fallback.h"

#include <fmt/format.h>

#include "pipeline/settings.h"

namespace whimbrel {
namespace {

/// The member's session again, in another engine.
/// @throws Error as open_with(); Error{engine} where its rows cannot take the place of the member's own
std::unique_ptr<Session> open_in(EngineKind engine, const Member& member, int workers) {
  OpenRequest request{.workers = workers};
  if (!member.manifest.clip_output.empty()) {
    for (const auto& output : member.session->outputs()) request.outputs.push_back(output.name);
  }
  auto opened = open_with(member.manifest, request, member.manifest.model_path, {engine, member.batch});
  const auto refuse = [&](std::string_view why) {
    return Error(ErrorCode::engine, fmt::format("{}: {}: {}", to_string(engine), member.manifest.model_path.string(), why));
  };
  const auto& own = member.session->outputs();
  const auto& others = opened.session->outputs();
  if (!std::ranges::equal(own, others, {}, &TensorInfo::shape, &TensorInfo::shape))
    throw refuse("its outputs have other shapes");
  // Which windows meet in a batch depends on timing where the member's own engine allows it.
  if (member.check.rows_independent && !opened.check.rows_independent) throw refuse("its rows depend on each other");
  return std::move(opened.session);
}

}  // namespace

const Fallback::Other& Fallback::other() {
  std::call_once(opened_, [this] { open(); });
  return other_;
}

void Fallback::open() {
  for (const auto engine : all_engines()) {
    if (engine == member_.engine || !engine_reads(engine, member_.manifest.model_path)) continue;
    const auto add = [&](std::string_view why) { other_.why_none += fmt::format("; {}", why); };
    if (const auto status = engine_status(engine); !status.available) {
      add(status.remedy);
      continue;
    }
    try {
      other_.session = open_in(engine, member_, workers_);
      other_.engine = to_string(engine);
      return;
    } catch (const std::exception& error) {
      add(error.what());
    }
  }
  other_.why_none = "no other engine can run it" + other_.why_none;
}

void Fallback::warn(Fault fault, std::string_view words) {
  if (warned_[static_cast<std::size_t>(fault)].test_and_set()) return;
  log(LogLevel::warning,
      fmt::format(
          "model {}: {}; {}", member_.manifest.name, words,
          other_.session ? fmt::format("{} runs such batches again; run.json says how many", other_.engine) : other_.why_none));
}

}  // namespace whimbrel
