#include "pipeline/rank_mean.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace whimbrel {

RankMean::RankMean(Spool& spool, std::size_t members, std::size_t classes, std::vector<double> weights,
                   std::int64_t block_bytes)
    : spool_(spool),
      members_(members),
      classes_(classes),
      weights_(std::move(weights)),
      // Twice: as rows and as columns.
      block_rows_(std::max<std::int64_t>(1, block_bytes / static_cast<std::int64_t>(2 * sizeof(float) * members * classes))) {}

std::int64_t RankMean::add(std::span<const float> wide_row) {
  if (wide_row.size() != members_ * classes_) {
    throw Error(ErrorCode::internal, fmt::format("row of {} scores, expected {} members of {} classes; report this as a bug",
                                                 wide_row.size(), members_, classes_));
  }
  if (std::all_of(wide_row.begin(), wide_row.end(), [](float score) { return std::isnan(score); })) {
    throw Error(ErrorCode::internal, "row that no member scored, expected one that did; report this as a bug");
  }
  wide_.insert(wide_.end(), wide_row.begin(), wide_row.end());
  if (++rows_ % block_rows_ == 0) spill();
  return rows_ - 1;
}

/// Turns the rows at hand into columns.
void RankMean::spill() {
  const std::size_t width = members_ * classes_, rows = wide_.size() / width;
  if (rows == 0) return;
  std::vector<float> columns(wide_.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < width; ++c) columns[c * rows + r] = wide_[r * width + c];
  }
  blocks_.push_back(spool_.append(columns));
  wide_.clear();
}

void RankMean::exclude(std::int64_t first_row, std::int64_t count) { excluded_.emplace_back(first_row, count); }

void RankMean::finish() {
  spill();
  wide_ = {};
  const auto rows = static_cast<std::size_t>(rows_);
  std::vector<float> values(rows);
  std::vector<double> sums(rows), totals(rows);
  for (std::size_t c = 0; c < classes_; ++c) {
    std::fill(sums.begin(), sums.end(), 0.0);
    std::fill(totals.begin(), totals.end(), 0.0);
    for (std::size_t m = 0; m < members_; ++m) {
      load_column(m * classes_ + c, values);
      add_ranks(values, weights_[m], sums, totals);
    }
    std::transform(sums.begin(), sums.end(), totals.begin(), values.begin(),
                   [](double sum, double total) { return static_cast<float>(sum / total); });
    combined_.push_back(spool_.append(values));
  }
}

void RankMean::load_column(std::size_t column, std::vector<float>& values) const {
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const std::int64_t begin = static_cast<std::int64_t>(b) * block_rows_, count = std::min(block_rows_, rows_ - begin);
    spool_.read(blocks_[b] + static_cast<std::int64_t>(column) * count,
                std::span(values).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)));
  }
  for (const auto& [first, count] : excluded_) {
    std::fill_n(values.begin() + first, count, std::numeric_limits<float>::quiet_NaN());
  }
}

void RankMean::add_ranks(const std::vector<float>& values, double weight, std::vector<double>& sums,
                         std::vector<double>& totals) const {
  std::vector<std::pair<float, std::uint32_t>> sorted;
  sorted.reserve(values.size());
  for (std::size_t r = 0; r < values.size(); ++r) {
    if (!std::isnan(values[r])) sorted.emplace_back(values[r], static_cast<std::uint32_t>(r));
  }
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
    while (end < sorted.size() && sorted[end].first == sorted[begin].first) ++end;
    const double place = static_cast<double>(begin + end - 1) / 2;
    const double rank = sorted.size() > 1 ? place / static_cast<double>(sorted.size() - 1) : 0.5;
    for (std::size_t i = begin; i < end; ++i) {
      sums[sorted[i].second] += weight * rank;
      totals[sorted[i].second] += weight;
    }
  }
}

void RankMean::read(std::int64_t first_row, std::int64_t count, std::span<float> out) {
  if (combined_.size() != classes_ || first_row < 0 || count < 0 || first_row + count > rows_) {
    throw Error(ErrorCode::internal,
                fmt::format("mean ranks of rows {}..{} of {}, expected rows that are there; report this as "
                            "a bug",
                            first_row, first_row + count, rows_));
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t block = (first_row + i) / block_rows_, row = (first_row + i) % block_rows_;
    if (block != loaded_) load_block(block);
    const std::size_t rows = block_.size() / classes_;
    for (std::size_t c = 0; c < classes_; ++c) {
      out[static_cast<std::size_t>(i) * classes_ + c] = block_[c * rows + static_cast<std::size_t>(row)];
    }
  }
}

void RankMean::load_block(std::int64_t block) {
  const std::int64_t begin = block * block_rows_;
  const auto rows = static_cast<std::size_t>(std::min(block_rows_, rows_ - begin));
  block_.resize(rows * classes_);
  for (std::size_t c = 0; c < classes_; ++c) {
    spool_.read(combined_[c] + begin, std::span(block_).subspan(c * rows, rows));
  }
  loaded_ = block;
}

}  // namespace whimbrel
