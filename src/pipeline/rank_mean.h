// The mean of ranks: members whose probabilities are not comparable vote by order alone.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "whimbrel/io.h"

namespace whimbrel {

/// First add() every row of the run, then finish(), then read(). A score's rank is its place among all scores that its member
/// gave its class in the run, scaled to 0 (lowest) .. 1 (highest); equal scores share the mean of their places, and a lone one
/// is 0.5. The result is the weighted mean of the members' ranks and does not depend on the order of rows.
///
/// Memory: a block of rows, and one column of the run (36 bytes a row at its peak) in finish(). Everything else is on disk. Not
/// thread-safe.
class RankMean {
 public:
  static constexpr std::int64_t kBlockBytes = std::int64_t{64} << 20;

  /// @param spool    may hold other things too; outlives this
  /// @param weights  one a member
  RankMean(Spool& spool, std::size_t members, std::size_t classes, std::vector<double> weights,
           std::int64_t block_bytes = kBlockBytes);

  /// @param wide_row  [members, classes]; a member that did not score this window has NaN in all classes
  /// @return          the row's number, from 0
  /// @throws Error{internal} for another size or a row that no member scored; Error{io}
  std::int64_t add(std::span<const float> wide_row);

  /// Rows that have no rank after all, and no part in those of others; before finish().
  void exclude(std::int64_t first_row, std::int64_t count);

  void finish();

  /// @param out  [count, classes]
  /// @throws Error{internal} beyond what was added or before finish(); Error{io}
  void read(std::int64_t first_row, std::int64_t count, std::span<float> out);

 private:
  void spill();
  void load_column(std::size_t column, std::vector<float>& values) const;
  void add_ranks(const std::vector<float>& values, double weight, std::vector<double>& sums, std::vector<double>& totals) const;
  void load_block(std::int64_t block);

  Spool& spool_;
  std::size_t members_;
  std::size_t classes_;
  std::vector<double> weights_;
  std::int64_t block_rows_;
  std::int64_t rows_ = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> excluded_;  // first row, count
  std::vector<float> wide_;                                      // rows that are not in the spool yet
  std::vector<std::int64_t> blocks_;    // of scores in the spool: [members * classes, rows of the block]
  std::vector<std::int64_t> combined_;  // of each class in the spool: [rows]
  std::vector<float> block_;            // the one that read() read last: [classes, rows of the block]
  std::int64_t loaded_ = -1;
};

}  // namespace whimbrel
