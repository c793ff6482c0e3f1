#include "audio/synthesis.h"

#include <gtest/gtest.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <numbers>
#include <random>
#include <sstream>

namespace whimbrel::audio_test {

namespace fs = std::filesystem;

TempFolder::TempFolder() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string(test->test_suite_name()) + "." + test->name() + "." + std::to_string(::getpid());
  std::ranges::replace(name, '/', '.');  // of parameterized tests
  path_ = fs::path(WHIMBREL_TEST_DATA_DIR) / "audio" / name;
  fs::create_directories(path_);
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path shared_data() {
  const char* set = std::getenv("WHIMBREL_SHARED");
  const fs::path path = fs::path(set != nullptr ? set : WHIMBREL_SOURCE_DIR "/../shared") / "data";
  return fs::is_directory(path) ? path : fs::path();
}

void write_audio(const fs::path& path, int format, int rate_hz, int channels, std::span<const float> samples) {
  SF_INFO info{};
  info.format = format;
  info.samplerate = rate_hz;
  info.channels = channels;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr) << path << ": " << sf_strerror(nullptr);
  const auto frames = static_cast<sf_count_t>(samples.size()) / channels;
  const int sample_format = format & SF_FORMAT_SUBMASK;
  if (sample_format == SF_FORMAT_FLOAT || sample_format >= SF_FORMAT_DOUBLE) {
    // libsndfile's Vorbis encoder keeps a whole call on its stack.
    for (sf_count_t at = 0; at < frames; at += 4096) {
      const sf_count_t count = std::min<sf_count_t>(4096, frames - at);
      ASSERT_EQ(sf_writef_float(file, samples.data() + at * channels, count), count) << sf_strerror(file);
    }
  } else {
    // As integers: writing floats would scale by 2^15 - 1, and reading divides by 2^15.
    std::vector<int> integers(samples.size());
    std::ranges::transform(samples, integers.begin(), [](float x) { return static_cast<int>(x * 0x1p31); });
    ASSERT_EQ(sf_writef_int(file, integers.data(), frames), frames) << sf_strerror(file);
  }
  ASSERT_EQ(sf_close(file), 0);
}

void write_bytes(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string read_bytes(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::string wav_bytes(std::uint32_t rate_hz, std::uint16_t channels, std::uint32_t claimed_data_bytes, std::string_view data) {
  std::string out;
  const auto number = [&](std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  };
  const auto frame_bytes = static_cast<std::uint32_t>(channels) * 2;
  out += "RIFF";
  number(claimed_data_bytes + 36, 4);
  out += "WAVEfmt ";
  number(16, 4);
  number(1, 2);  // PCM
  number(channels, 2);
  number(rate_hz, 4);
  number(rate_hz * frame_bytes, 4);
  number(frame_bytes, 2);
  number(16, 2);
  out += "data";
  number(claimed_data_bytes, 4);
  return out.append(data);
}

bool ffmpeg(const fs::path& from, const std::string& options, const fs::path& to) {
  const std::string command = "ffmpeg -nostdin -v quiet -y -i '" + from.string() + "' " + options + " '" + to.string() + "'";
  return std::system(command.c_str()) == 0;
}

std::vector<float> tone(double frequency_hz, int rate_hz, std::size_t frames, double amplitude) {
  std::vector<float> out(frames);
  for (std::size_t n = 0; n < frames; ++n) {
    out[n] = static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * frequency_hz * static_cast<double>(n) / rate_hz));
  }
  return out;
}

std::vector<float> sweep(int rate_hz, std::size_t frames) {
  std::vector<float> out(frames);
  const double duration_s = static_cast<double>(frames) / rate_hz;
  for (std::size_t n = 0; n < frames; ++n) {
    const double t = static_cast<double>(n) / rate_hz;
    const double cycles = 200 * t + (rate_hz / 4.0 - 200) * t * t / (2 * duration_s);
    out[n] = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * cycles));
  }
  return out;
}

std::vector<float> noise(std::size_t frames, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> out(frames);
  for (float& x : out) x = static_cast<float>(static_cast<double>(random()) / 0x1p32 * 1.8 - 0.9);
  return out;
}

Decoded decode(const fs::path& path, std::size_t block) {
  const std::unique_ptr<RecordingReader> reader = RecordingReader::open(path);
  Decoded out{.codec = reader->codec(), .rate_hz = reader->sample_rate_hz(), .channels = reader->channels()};
  std::vector<float> buffer(block);
  try {
    for (std::size_t count = block; count == block;) {
      count = reader->read(buffer);
      out.samples.insert(out.samples.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(count));
    }
    EXPECT_EQ(reader->read(buffer), 0u) << "after the end";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_recording);
    out.error = error.what();
  }
  out.non_finite = reader->non_finite_samples();
  return out;
}

double snr_db(std::span<const float> expected, std::span<const float> got, std::size_t from, std::size_t to) {
  double signal = 0;
  double difference = 0;
  for (std::size_t n = from; n < to; ++n) {
    const double error = static_cast<double>(expected[n]) - got[n];
    signal += static_cast<double>(expected[n]) * expected[n];
    difference += error * error;
  }
  return 10 * std::log10(signal / std::max(difference, 1e-30));
}

double amplitude_at(double frequency_hz, int rate_hz, std::span<const float> samples) {
  // Normal equations of x[n] = a cos + b sin, so that no whole number of periods is needed.
  double cc = 0, ss = 0, cs = 0, cx = 0, sx = 0;
  for (std::size_t n = samples.size() / 4; n < samples.size() * 3 / 4; ++n) {
    const double angle = 2 * std::numbers::pi * frequency_hz * static_cast<double>(n) / rate_hz;
    const double c = std::cos(angle), s = std::sin(angle);
    cc += c * c, ss += s * s, cs += c * s, cx += c * samples[n], sx += s * samples[n];
  }
  const double determinant = cc * ss - cs * cs;
  return std::hypot((cx * ss - sx * cs) / determinant, (sx * cc - cx * cs) / determinant);
}

std::string message_of(ErrorCode code, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error came";
  return "";
}

}  // namespace whimbrel::audio_test
