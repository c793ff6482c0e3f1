#include "features/tables.h"

#include <cmath>
#include <mutex>
#include <numbers>
#include <utility>

namespace whimbrel {
namespace {

/// Appends exp(-2 pi i numerator / denominator), from double.
void push_root(std::vector<float>& out, std::int64_t numerator, std::int64_t denominator) {
  const double angle = -2 * std::numbers::pi * static_cast<double>(numerator % denominator) / static_cast<double>(denominator);
  out.push_back(static_cast<float>(std::cos(angle)));
  out.push_back(static_cast<float>(std::sin(angle)));
}

void add_passes(MelTables& tables) {
  int length = 1;
  for (const int radix : fft_radices(tables.points)) {
    tables.passes.push_back({radix, length, tables.twiddles.size()});
    const int factors = radix == 4 ? 2 : radix - 1;
    for (int j = 0; j < length; ++j) {
      for (int q = 1; q <= factors; ++q) push_root(tables.twiddles, std::int64_t{j} * q, std::int64_t{radix} * length);
    }
    // Minus the numerator: sines come out positive, as the odd butterfly wants them.
    for (int t = 0; radix % 2 == 1 && t < radix; ++t) push_root(tables.twiddles, -t, radix);
    length *= radix;
  }
}

/// Decimation in time: the sub-transform q of a pass gets every radix-th point from q on.
void add_order(MelTables& tables) {
  tables.order.assign(1, 0);
  int step = 1;
  for (auto pass = tables.passes.rbegin(); pass != tables.passes.rend(); ++pass) {
    std::vector<int> finer;
    for (const int start : tables.order) {
      for (int q = 0; q < pass->radix; ++q) finer.push_back(start + q * step);
    }
    tables.order = std::move(finer);
    step *= pass->radix;
  }
}

/// Periodic Hann, as librosa, SciPy and PyTorch make it for spectra, centred in n_fft.
std::vector<double> hann(const MelConfig& config) {
  std::vector<double> window(static_cast<std::size_t>(config.n_fft));
  double* const out = window.data() + (config.n_fft - config.win_length) / 2;
  for (int i = 0; i < config.win_length; ++i) {
    out[i] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / config.win_length);
  }
  return window;
}

std::shared_ptr<const MelTables> make_tables(const MelConfig& config, int sample_rate_hz) {
  auto tables = std::make_shared<MelTables>();
  tables->config = config;
  tables->points = config.n_fft / 2;
  add_passes(*tables);
  add_order(*tables);
  const auto window = hann(config);
  for (const int point : tables->order) {
    for (const int sample : {2 * point, 2 * point + 1}) {
      tables->window.push_back(static_cast<float>(0.5 * window[static_cast<std::size_t>(sample)]));
    }
  }
  for (int k = 0; k <= tables->points / 2; ++k) push_root(tables->split, k, config.n_fft);
  tables->bands = mel_bands(config, sample_rate_hz);
  return tables;
}

}  // namespace

std::shared_ptr<const MelTables> mel_tables(const MelConfig& config, int sample_rate_hz) {
  struct Entry {
    MelConfig config;
    int sample_rate_hz;
    std::weak_ptr<const MelTables> tables;
  };
  static std::mutex mutex;
  static std::vector<Entry> entries;
  validate(config, sample_rate_hz);
  const std::scoped_lock lock(mutex);
  std::erase_if(entries, [](const Entry& entry) { return entry.tables.expired(); });
  for (const auto& entry : entries) {
    if (entry.config == config && entry.sample_rate_hz == sample_rate_hz) {
      if (auto tables = entry.tables.lock()) return tables;
    }
  }
  auto tables = make_tables(config, sample_rate_hz);
  entries.push_back({config, sample_rate_hz, tables});
  return tables;
}

}  // namespace whimbrel
