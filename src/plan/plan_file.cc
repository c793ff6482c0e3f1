// plan.toml: written to be read by people, read back with every value checked.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>  // heavy: included here only
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "whimbrel/engines.h"
#include "whimbrel/io.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLargestPlan = 1 << 20;
constexpr double kAny = std::numeric_limits<double>::max();
constexpr std::array kMetrics = {Metric::macro_roc_auc, Metric::padded_cmap, Metric::macro_ap, Metric::micro_ap};
const std::vector<std::string> kMethods = {"single", "equal", "weighted", "cascade"};

/// One table of a plan. finish() refuses what was not asked for.
class Section {
 public:
  Section(const fs::path& path, const toml::table& table, std::string name)
      : path_(path), table_(table), name_(std::move(name)) {}

  const toml::node* find(std::string_view key) {
    asked_.emplace_back(key);
    return table_.get(key);
  }

  std::string text(std::string_view key) {
    const auto& node = required(key);
    if (const auto* value = node.as_string()) return value->get();
    refuse(key, "a text in quotes");
  }

  std::string word(std::string_view key, const std::vector<std::string>& words) {
    auto found = text(key);
    if (std::ranges::find(words, found) != words.end()) return found;
    const auto close = closest_word(found, words);
    refuse(key, fmt::format("one of {}{}", fmt::join(words, ", "), close.empty() ? "" : "; did you mean " + close + "?"));
  }

  double number(std::string_view key, double least, double most = kAny) {
    const auto& node = required(key);
    const auto value = node.is_number() ? node.value<double>() : std::nullopt;
    if (value && *value >= least && *value <= most) return *value;
    refuse(key, most == kAny ? fmt::format("a number, {} or more", least) : fmt::format("a number, {}..{}", least, most));
  }

  double positive(std::string_view key) {
    const double value = number(key, 0);
    if (value == 0) refuse(key, "a number above 0");
    return value;
  }

  std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most) {
    const auto* value = required(key).as_integer();
    if (value != nullptr && value->get() >= least && value->get() <= most) return value->get();
    refuse(key, fmt::format("a whole number, {}..{}", least, most));
  }

  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> found;
    const auto* array = required(key).as_array();
    if (array == nullptr) refuse(key, "a list of texts");
    for (const auto& node : *array) {
      const auto* value = node.as_string();
      if (value == nullptr) refuse(key, "a list of texts");
      found.push_back(value->get());
    }
    return found;
  }

  void finish() const {
    for (const auto& [key, node] : table_) {
      const std::string name(key.str());
      if (std::ranges::find(asked_, name) != asked_.end()) continue;
      const auto close = closest_word(name, asked_);
      throw error(where(&node), fmt::format("unknown key {}, expected one of {}{}", name_of(name), fmt::join(asked_, ", "),
                                            close.empty() ? "" : fmt::format("; did you mean \"{}\"?", close)));
    }
  }

  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const {
    const auto* node = table_.get(key);
    std::string shown = "nothing";
    if (node != nullptr) {
      shown = "a table or list";
      node->visit([&](const auto& value) {
        if constexpr (toml::is_string<decltype(value)>) shown = fmt::format("{:?}", value.get());
        if constexpr (toml::is_number<decltype(value)> || toml::is_boolean<decltype(value)>)
          shown = fmt::to_string(value.get());
      });
    }
    throw error(where(node), fmt::format("{}={}, expected {}", name_of(key), shown, expected));
  }

 private:
  const toml::node& required(std::string_view key) {
    if (const auto* node = find(key)) return *node;
    std::vector<std::string> present;
    for (const auto& [name, node] : table_) present.emplace_back(name.str());
    const auto close = closest_word(key, present);
    throw error(where(&table_), fmt::format("{} is missing; {}", name_of(key),
                                            close.empty() ? "make the plan again with whimbrel plan"
                                                          : fmt::format("did you mean it by \"{}\"?", close)));
  }

  std::string name_of(std::string_view key) const {
    return name_.empty() ? std::string(key) : fmt::format("[{}] {}", name_, key);
  }
  std::string where(const toml::node* node) const {
    const auto line = node == nullptr ? table_.source().begin.line : node->source().begin.line;
    return line == 0 ? path_.string() : fmt::format("{}:{}", path_.string(), line);
  }
  static Error error(const std::string& where, const std::string& what) {
    return {ErrorCode::bad_manifest, fmt::format("{}: {}", where, what)};
  }

  const fs::path& path_;
  const toml::table& table_;
  std::string name_;
  std::vector<std::string> asked_;
};

/// The tables of [[key]].
template <class Read>
void for_each_table(Section& root, const fs::path& path, std::string_view key, Read&& read) {
  const auto* node = root.find(key);
  if (node == nullptr) return;
  const auto* array = node->as_array();
  if (array == nullptr) root.refuse(key, fmt::format("tables, [[{}]]", key));
  for (const auto& element : *array) {
    if (!element.is_table()) root.refuse(key, fmt::format("tables, [[{}]]", key));
    Section section(path, *element.as_table(), std::string(key));
    read(section);
    section.finish();
  }
}

void read_head(Section& s, Plan& plan) {
  plan.whimbrel = s.text("whimbrel");
  plan.created = s.text("created");
  plan.cpu = s.text("cpu");
  plan.cores = static_cast<int>(s.integer("cores", 1, 1024));
  std::vector<std::string> metrics;
  for (const auto metric : kMetrics) metrics.emplace_back(to_string(metric));
  const auto metric = s.word("metric", metrics);
  plan.metric = kMetrics.at(static_cast<std::size_t>(std::ranges::find(metrics, metric) - metrics.begin()));
  plan.budget_s = s.positive("budget_s");
  plan.workload_windows = s.integer("workload_windows", 1, std::numeric_limits<std::int64_t>::max());
  plan.workload_s = s.positive("workload_s");
  plan.expected_wall_s = s.positive("expected_wall_s");
  plan.wall_margin_s = s.number("wall_margin_s", 0);
  plan.expected_score = s.number("expected_score", 0, 1);
  plan.score_low = s.number("score_low", 0, 1);
  plan.score_high = s.number("score_high", plan.score_low, 1);
  plan.method = s.word("method", kMethods);
  plan.best_single_score = s.number("best_single_score", 0, 1);
  plan.best_equal_score = s.number("best_equal_score", 0, 1);
  plan.best_weighted_score = s.number("best_weighted_score", 0, 1);
  if (s.find("best_cascade_score") != nullptr) plan.best_cascade_score = s.number("best_cascade_score", 0, 1);
}

PlannedMember read_member(Section& s, const fs::path& folder) {
  PlannedMember member;
  member.model = (folder / s.text("model")).lexically_normal();
  member.name = s.text("name");
  member.hash = s.text("hash");
  std::vector<std::string> engines;
  for (const auto kind : all_engines()) engines.emplace_back(to_string(kind));
  member.engine = s.word("engine", engines);
  member.precision = s.text("precision");
  member.batch = static_cast<int>(s.integer("batch", 1, 1024));
  member.weight = s.positive("weight");
  member.cost_s = s.number("cost_s", 0);
  member.gain = s.number("gain", 0, 1);
  return member;
}

void read_cascade(Section& s, Plan& plan) {
  Cascade cascade;
  const auto members = static_cast<std::int64_t>(plan.members.size());
  if (members < 2) s.refuse("gate", "no [cascade] in a plan of one member");
  cascade.gate = static_cast<std::size_t>(s.integer("gate", 0, members - 1));
  cascade.threshold = s.number("threshold", 0, 1);
  cascade.slope = s.positive("slope");
  cascade.offset = s.number("offset", -1000, 1000);
  plan.expected_share = s.number("expected_share", 0, 1);
  plan.cascade = cascade;
}

std::string head_text(const Plan& p) {
  return fmt::format(
             "# Written by whimbrel plan; whimbrel predict --plan runs it. docs/planning.md describes the keys.\n"
             "[plan]\n"
             "whimbrel = {}\ncreated = {}  # UTC\ncpu = {}  # that it was measured on\ncores = {}\nmetric = \"{}\"\n"
             "budget_s = {}\nworkload_windows = {}\nworkload_s = {}  # of audio\n",
             toml_string(p.whimbrel), toml_string(p.created), toml_string(p.cpu), p.cores, to_string(p.metric), p.budget_s,
             p.workload_windows, p.workload_s) +
         fmt::format(
             "expected_wall_s = {:.6g}\nwall_margin_s = {:.6g}\n"
             "expected_score = {:.6g}  # on recordings that were not chosen by; 90 % interval:\n"
             "score_low = {:.6g}\nscore_high = {:.6g}\n"
             "method = {}  # the best of these held-out scores:\n"
             "best_single_score = {:.6g}\nbest_equal_score = {:.6g}\nbest_weighted_score = {:.6g}\n",
             p.expected_wall_s, p.wall_margin_s, p.expected_score, p.score_low, p.score_high, toml_string(p.method),
             p.best_single_score, p.best_equal_score, p.best_weighted_score) +
         (p.best_cascade_score ? fmt::format("best_cascade_score = {:.6g}\n", *p.best_cascade_score) : "");
}

fs::path relative_to(const fs::path& model, const fs::path& folder) {
  std::error_code error;
  auto relative = fs::relative(fs::absolute(model), folder, error);
  return error || relative.empty() ? fs::absolute(model) : relative;
}

}  // namespace

Plan read_plan(const fs::path& path) {
  toml::table table;
  try {
    table = toml::parse(read_file(path, kLargestPlan), path.string());
  } catch (const toml::parse_error& error) {
    throw Error(ErrorCode::bad_manifest, fmt::format("{}:{}: not TOML: {}; make the plan again with whimbrel plan",
                                                     path.string(), error.source().begin.line, error.description()));
  }
  Section root(path, table, "");
  Plan plan;
  const auto table_of = [&](std::string_view key) {
    const auto* node = root.find(key);
    if (node == nullptr || !node->is_table()) root.refuse(key, fmt::format("a table, [{}]", key));
    return Section(path, *node->as_table(), std::string(key));
  };
  auto head = table_of("plan");
  read_head(head, plan);
  head.finish();
  for_each_table(root, path, "member",
                 [&](Section& s) { plan.members.push_back(read_member(s, fs::absolute(path).parent_path())); });
  if (plan.members.empty()) root.refuse("member", "one table [[member]] or more");
  if (root.find("cascade") != nullptr) {
    auto cascade = table_of("cascade");
    read_cascade(cascade, plan);
    cascade.finish();
  }
  for_each_table(root, path, "pareto", [&](Section& s) {
    plan.pareto.push_back({s.positive("wall_s"), s.number("score", 0, 1), s.texts("members")});
  });
  root.finish();
  return plan;
}

void write_plan(const Plan& plan, const fs::path& path) {
  const auto folder = fs::absolute(path).parent_path();
  std::string text = head_text(plan);
  for (const auto& m : plan.members) {
    text += fmt::format("\n[[member]]\nmodel = {}\nname = {}\nhash = {}\nengine = {}\nprecision = {}\nbatch = {}\n",
                        toml_string(relative_to(m.model, folder).string()), toml_string(m.name), toml_string(m.hash),
                        toml_string(m.engine), toml_string(m.precision), m.batch);
    text +=
        fmt::format("weight = {}\ncost_s = {:.6g}  # of one core for a window\ngain = {:.6g}\n", m.weight, m.cost_s, m.gain);
  }
  if (plan.cascade) {
    text += fmt::format(
        "\n[cascade]\ngate = {}  # the member, from 0, that scores every window\nthreshold = {}\nslope = {}\noffset = {}\n"
        "expected_share = {:.6g}  # of the windows that pass\n",
        plan.cascade->gate, plan.cascade->threshold, plan.cascade->slope, plan.cascade->offset, plan.expected_share);
  }
  for (const auto& point : plan.pareto) {
    std::vector<std::string> names;
    for (const auto& name : point.members) names.push_back(toml_string(name));
    text += fmt::format("\n[[pareto]]\nwall_s = {:.6g}\nscore = {:.6g}\nmembers = [{}]\n", point.wall_s, point.score,
                        fmt::join(names, ", "));
  }
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace whimbrel
