#include "audio/recording_time_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>

namespace whimbrel {
namespace {

using std::chrono::microseconds;
using std::chrono::sys_days;

constexpr int kFirstYear = 1900, kLastYear = 2100;
constexpr int kWesternmost_min = -12 * 60, kEasternmost_min = 14 * 60;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Reads a text from its front; what does not match stays.
class Scan {
 public:
  explicit Scan(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  /// 0 at the end.
  char next() const { return rest_.empty() ? '\0' : rest_.front(); }

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  bool take_one_of(std::string_view characters) {
    if (rest_.empty() || characters.find(rest_.front()) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// From `fewest` to `most` digits, as many as there are. @param most  at most 9
  bool take_number(std::size_t fewest, std::size_t most, int& value) {
    std::size_t count = 0;
    int read = 0;
    for (; count < most && count < rest_.size() && is_digit(rest_[count]); ++count) read = 10 * read + (rest_[count] - '0');
    if (count < fewest) return false;
    rest_.remove_prefix(count);
    value = read;
    return true;
  }
  void skip_digits() {
    while (is_digit(next())) rest_.remove_prefix(1);
  }

 private:
  std::string_view rest_;
};

struct WallClock {
  int year = 0, month = 0, day = 0;
  int hour = 0, minute = 0, second = 0, microsecond = 0;
};

std::optional<RecordingTime> checked(const WallClock& clock, std::optional<int> utc_offset_min, RecordingTimeSource source) {
  const std::chrono::year_month_day date{std::chrono::year(clock.year), std::chrono::month(static_cast<unsigned>(clock.month)),
                                         std::chrono::day(static_cast<unsigned>(clock.day))};
  const bool in_day = clock.hour < 24 && clock.minute < 60 && clock.second < 60;
  if (!date.ok() || clock.year < kFirstYear || clock.year > kLastYear || !in_day) return std::nullopt;
  const microseconds wall = sys_days(date).time_since_epoch() + std::chrono::hours(clock.hour) +
                            std::chrono::minutes(clock.minute) + std::chrono::seconds(clock.second) +
                            microseconds(clock.microsecond);
  const microseconds utc = wall - std::chrono::minutes(utc_offset_min.value_or(0));
  return RecordingTime{.unix_us = utc.count(), .utc_offset_min = utc_offset_min, .source = source};
}

/// "19:17:30", perhaps with a fraction.
bool take_time(Scan& scan, WallClock& clock) {
  if (!scan.take_number(2, 2, clock.hour) || !scan.take(":") || !scan.take_number(2, 2, clock.minute) || !scan.take(":") ||
      !scan.take_number(2, 2, clock.second))
    return false;
  if (!scan.take_one_of(".,")) return true;
  for (int unit = 100'000; is_digit(scan.next()) && unit > 0; unit /= 10) {
    int digit = 0;
    scan.take_number(1, 1, digit);
    clock.microsecond += digit * unit;
  }
  scan.skip_digits();
  return true;
}

/// "+2", "-2:30", "+0545", "-07:00".
bool take_offset(Scan& scan, std::optional<int>& utc_offset_min) {
  const int sign = scan.next() == '-' ? -1 : 1;
  int hours = 0, minutes = 0;
  if (!scan.take_one_of("+-") || !scan.take_number(1, 2, hours)) return false;
  if (scan.take(":") ? !scan.take_number(2, 2, minutes) : is_digit(scan.next()) && !scan.take_number(2, 2, minutes))
    return false;
  const int offset = sign * (60 * hours + minutes);
  if (minutes >= 60 || offset < kWesternmost_min || offset > kEasternmost_min) return false;
  utc_offset_min = offset;
  return true;
}

/// "2017-01-01T00:00:00-07:00" and nothing after it.
std::optional<RecordingTime> time_of_iso(std::string_view text, RecordingTimeSource source) {
  Scan scan(text);
  WallClock clock;
  std::optional<int> utc_offset_min;
  if (!scan.take_number(4, 4, clock.year) || !scan.take("-") || !scan.take_number(2, 2, clock.month) || !scan.take("-") ||
      !scan.take_number(2, 2, clock.day) || !scan.take_one_of("Tt ") || !take_time(scan, clock))
    return std::nullopt;
  if (scan.take_one_of("Zz"))
    utc_offset_min = 0;
  else if (!scan.at_end() && !take_offset(scan, utc_offset_min))
    return std::nullopt;
  if (!scan.at_end()) return std::nullopt;
  return checked(clock, utc_offset_min, source);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank{" \t\r\n\0", 5};
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// What follows "Recorded at ".
std::optional<RecordingTime> time_of_audiomoth(std::string_view text) {
  Scan scan(text);
  WallClock clock;
  std::optional<int> utc_offset_min;
  if (!take_time(scan, clock) || !scan.take(" ") || !scan.take_number(2, 2, clock.day) || !scan.take("/") ||
      !scan.take_number(2, 2, clock.month) || !scan.take("/") || !scan.take_number(4, 4, clock.year) || !scan.take(" "))
    return std::nullopt;
  if (scan.take("(UTC")) {
    utc_offset_min = 0;
    if (!scan.take(")") && (!take_offset(scan, utc_offset_min) || !scan.take(")"))) return std::nullopt;
  }
  return checked(clock, utc_offset_min, RecordingTimeSource::audiomoth);
}

/// OpenSoundscape's `"recording_start_time": "2024-05-28T10:00:00+00:00"`.
std::optional<RecordingTime> time_of_opensoundscape(std::string_view json) {
  constexpr std::string_view kKey = "\"recording_start_time\"";
  const auto key = json.find(kKey);
  if (key == std::string_view::npos) return std::nullopt;
  auto value = trimmed(json.substr(key + kKey.size()));
  if (!value.starts_with(':')) return std::nullopt;
  value = trimmed(value.substr(1));
  if (!value.starts_with('"')) return std::nullopt;
  value.remove_prefix(1);
  return time_of_iso(value.substr(0, value.find('"')), RecordingTimeSource::opensoundscape);
}

/// "+0200" and no digit after it. Numbers that are no zone are left for what they are: "-0001" counts files.
std::optional<int> zone_in_name(Scan scan) {
  if (scan.take("Z")) return is_letter(scan.next()) || is_digit(scan.next()) ? std::nullopt : std::optional(0);
  const int sign = scan.next() == '-' ? -1 : 1;
  int hours = 0, minutes = 0;
  if (!scan.take_one_of("+-") || !scan.take_number(2, 2, hours) || !scan.take_number(2, 2, minutes)) return std::nullopt;
  const int offset = sign * (60 * hours + minutes);
  if (is_digit(scan.next()) || minutes >= 60 || minutes % 15 != 0) return std::nullopt;
  if (offset < kWesternmost_min || offset > kEasternmost_min) return std::nullopt;
  return offset;
}

/// "20230501_050000" or "2023-05-01_05-00-00" at the front.
std::optional<RecordingTime> time_at_front(std::string_view text) {
  Scan scan(text);
  WallClock clock;
  if (!scan.take_number(4, 4, clock.year)) return std::nullopt;
  const std::string_view between = scan.take("-") ? "-" : "";
  if (!scan.take_number(2, 2, clock.month) || !scan.take(between) || !scan.take_number(2, 2, clock.day)) return std::nullopt;
  if (!scan.take_one_of("_T-$ ") || !scan.take_number(2, 2, clock.hour)) return std::nullopt;
  const std::string_view colon = scan.take("-") ? "-" : scan.take(":") ? ":" : "";
  if (!scan.take_number(2, 2, clock.minute) || !scan.take(colon) || !scan.take_number(2, 2, clock.second)) return std::nullopt;
  if (is_digit(scan.next())) return std::nullopt;
  return checked(clock, zone_in_name(scan), RecordingTimeSource::file_name);
}

/// AudioMoth's first firmwares: Unix seconds. Eight digits are often something else, a date among them, so that only times at
/// which there were AudioMoths count.
std::optional<RecordingTime> time_of_hexadecimal(std::string_view stem) {
  constexpr sys_days kFirst = std::chrono::year(2015) / 1 / 1, kEnd = std::chrono::year(kLastYear) / 1 / 1;
  std::uint32_t seconds = 0;
  const auto* end = stem.data() + stem.size();
  if (stem.size() != 8 || std::from_chars(stem.data(), end, seconds, 16).ptr != end) return std::nullopt;
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  if (time < kFirst || time >= kEnd) return std::nullopt;
  return RecordingTime{microseconds(time.time_since_epoch()).count(), 0, RecordingTimeSource::file_name};
}

}  // namespace

std::optional<RecordingTime> time_of_guano(std::string_view text) {
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || trimmed(line.substr(0, colon)) != "Timestamp") continue;
    return time_of_iso(trimmed(line.substr(colon + 1)), RecordingTimeSource::guano);
  }
  return std::nullopt;
}

std::optional<RecordingTime> time_of_comment(std::string_view text) {
  if (text.starts_with("opso_metadata")) return time_of_opensoundscape(text);
  constexpr std::string_view kBefore = "Recorded at ";
  const auto found = text.find(kBefore);
  if (found == std::string_view::npos) return std::nullopt;
  return time_of_audiomoth(text.substr(found + kBefore.size()));
}

std::optional<RecordingTime> time_of_bext(std::string_view date, std::string_view time) {
  constexpr std::string_view kBetween = "-_:. /";
  Scan day(date), hour(time);
  WallClock clock;
  if (!day.take_number(4, 4, clock.year) || !day.take_one_of(kBetween) || !day.take_number(2, 2, clock.month) ||
      !day.take_one_of(kBetween) || !day.take_number(2, 2, clock.day) || !hour.take_number(2, 2, clock.hour) ||
      !hour.take_one_of(kBetween) || !hour.take_number(2, 2, clock.minute) || !hour.take_one_of(kBetween) ||
      !hour.take_number(2, 2, clock.second))
    return std::nullopt;
  return checked(clock, std::nullopt, RecordingTimeSource::bext);
}

std::optional<RecordingTime> time_of_stem(std::string_view stem) {
  for (std::size_t i = 0; i < stem.size(); ++i) {
    if (i > 0 && is_digit(stem[i - 1])) continue;
    if (const auto time = time_at_front(stem.substr(i))) return time;
  }
  return time_of_hexadecimal(stem);
}

std::string_view to_string(RecordingTimeSource source) {
  switch (source) {
    case RecordingTimeSource::guano:
      return "guano";
    case RecordingTimeSource::opensoundscape:
      return "opensoundscape";
    case RecordingTimeSource::audiomoth:
      return "audiomoth";
    case RecordingTimeSource::bext:
      return "bext";
    case RecordingTimeSource::file_name:
      return "file name";
  }
  return "file name";
}

RecordingTime moment_in(const RecordingTime& time, std::int64_t samples, int sample_rate_hz) {
  constexpr std::int64_t kMicros = 1'000'000;
  RecordingTime moment = time;
  moment.unix_us += samples / sample_rate_hz * kMicros;
  moment.unix_us += (samples % sample_rate_hz * kMicros + sample_rate_hz / 2) / sample_rate_hz;
  return moment;
}

std::string rfc3339(const RecordingTime& time) {
  using namespace std::chrono;
  const int offset_min = time.utc_offset_min.value_or(0);
  const sys_time<milliseconds> wall(floor<milliseconds>(microseconds(time.unix_us + 500)) + minutes(offset_min));
  const auto midnight = floor<days>(wall);
  const year_month_day date(midnight);
  const hh_mm_ss clock(wall - midnight);
  auto text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}", static_cast<int>(date.year()),
                          static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                          clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
  if (!time.utc_offset_min) return text;
  if (offset_min == 0) return text + "Z";
  const int size_min = std::abs(offset_min);
  return text + fmt::format("{}{:02}:{:02}", offset_min < 0 ? '-' : '+', size_min / 60, size_min % 60);
}

}  // namespace whimbrel
