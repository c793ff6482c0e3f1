// Reads one table of a manifest key by key; every value is checked on the way, and what nobody asked for is an error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel {

/// One table: [input.mel] of b0.toml. finish() must be called once all keys were asked for. A table that is not there reads as
/// an empty one. Everything thrown is Error{bad_manifest} that begins with "b0.toml:12: ".
class TomlReader {
 public:
  /// The root of a file of at most max_bytes. @throws also Error{not_found}, Error{io}, Error{invalid_argument} when it is
  /// larger
  static TomlReader open(const std::filesystem::path& path, std::int64_t max_bytes);
  /// The root of a text. @param name  of it, for messages
  static TomlReader parse(const std::string& text, const std::string& name);
  ~TomlReader();
  TomlReader(TomlReader&&) noexcept;

  TomlReader table(std::string_view key);
  bool exists() const;
  bool has(std::string_view key) const;

  /// The value, or `fallback`; another type is refused.
  std::string text(std::string_view key, std::string fallback);
  double number(std::string_view key, double fallback);
  std::int64_t integer(std::string_view key, std::int64_t fallback);
  bool boolean(std::string_view key, bool fallback);
  /// An array of numbers; none where there is no such key.
  std::vector<double> numbers(std::string_view key);

  /// Call before reading a key that has no default.
  /// @param expected  "a whole number, 1..16": for the message
  void require(std::string_view key, std::string_view expected);

  /// One of a few words, or `fallback`; another word is refused with the closest of them.
  template <class Enum>
  Enum word(std::string_view key, const std::vector<std::pair<std::string, Enum>>& words, Enum fallback) {
    const bool given = has(key);
    const std::string found = text(key, "");
    if (!given) return fallback;
    std::vector<std::string> names;
    for (const auto& [name, value] : words) {
      if (name == found) return value;
      names.push_back(name);
    }
    refuse_word(key, found, names);
  }

  /// Refuses the first key that was never asked for, with the closest that was.
  void finish() const;

  /// "b0.toml:12: [input] hop_s=9, expected <expected>", with the value as it stands in the file
  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;

  /// "b0.toml:12", the line of `key`, or of the table without one.
  std::string where(std::string_view key = {}) const;

 private:
  struct Impl;
  explicit TomlReader(std::unique_ptr<Impl> impl);
  [[noreturn]] void refuse_word(std::string_view key, const std::string& found, const std::vector<std::string>& names) const;

  std::unique_ptr<Impl> impl_;
};

}  // namespace whimbrel
