#include <fmt/format.h>
#include <soxr.h>

#include <algorithm>

#include "audio/kaiser_fast.h"
#include "whimbrel/audio.h"
#include "whimbrel/core.h"

namespace whimbrel {
namespace {

struct SoxrDeleter {
  void operator()(soxr* s) const { soxr_delete(s); }
};

}  // namespace

struct Resampler::Impl {
  // Neither for equal rates.
  std::unique_ptr<soxr, SoxrDeleter> state;
  std::unique_ptr<audio::KaiserFast> kaiser_fast;
  double ratio = 1;

  /// One call of soxr; nullptr input is the end. Returns the samples taken and appends those made.
  std::pair<std::size_t, std::size_t> step(std::span<const float> in, std::vector<float>& out) {
    const std::size_t room = static_cast<std::size_t>(static_cast<double>(in.size()) * ratio) + 1024;
    const std::size_t before = out.size();
    out.resize(before + room);
    std::size_t taken = 0;
    std::size_t made = 0;
    const soxr_error_t error = soxr_process(state.get(), in.data(), in.size(), &taken, out.data() + before, room, &made);
    out.resize(before + made);
    if (error != nullptr) throw Error(ErrorCode::internal, fmt::format("resampling: libsoxr: {}", error));
    return {taken, made};
  }
};

Resampler::Resampler(int from_hz, int to_hz, ResampleMethod method) : impl_(std::make_unique<Impl>()) {
  if (from_hz < 1 || to_hz < 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("resampling from {} Hz to {} Hz, expected rates of at least 1", from_hz, to_hz));
  }
  if (from_hz == to_hz) return;
  if (method == ResampleMethod::kaiser_fast) {
    impl_->kaiser_fast = std::make_unique<audio::KaiserFast>(from_hz, to_hz);
    return;
  }
  impl_->ratio = static_cast<double>(to_hz) / from_hz;
  // The default specifications: float32 in and out, HQ (20 bit), linear phase, one thread. Its block sizes made no difference
  // over 10 %.
  soxr_error_t error = nullptr;
  impl_->state.reset(soxr_create(from_hz, to_hz, 1, &error, nullptr, nullptr, nullptr));
  if (error != nullptr) {
    throw Error(ErrorCode::invalid_argument, fmt::format("resampling from {} Hz to {} Hz: libsoxr: {}", from_hz, to_hz, error));
  }
}

Resampler::~Resampler() = default;
Resampler::Resampler(Resampler&&) noexcept = default;
Resampler& Resampler::operator=(Resampler&&) noexcept = default;

void Resampler::push(std::span<const float> in, std::vector<float>& out) {
  if (impl_->kaiser_fast) return impl_->kaiser_fast->push(in, out);
  if (!impl_->state) {
    out.insert(out.end(), in.begin(), in.end());
    return;
  }
  while (!in.empty()) in = in.subspan(impl_->step(in, out).first);
}

void Resampler::finish(std::vector<float>& out) {
  if (impl_->kaiser_fast) return impl_->kaiser_fast->finish(out);
  if (!impl_->state) return;
  while (impl_->step({}, out).second > 0) continue;
}

}  // namespace whimbrel
