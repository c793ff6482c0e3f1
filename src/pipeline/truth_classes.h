// Which class a name in a truth file means.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace whimbrel {

/// Finds classes by the whole label, or by a scientific or common name that only one label has.
class ClassNames {
 public:
  explicit ClassNames(const std::vector<std::string>& classes);

  /// Index of the class, nullopt for none. Spaces around the name do not matter.
  std::optional<std::size_t> find(std::string_view name) const;

  /// "" or "nocall": nothing is there.
  static bool is_nothing(std::string_view name);

  /// The classes of a cell: one name, or several separated by ';' or, where no name holds them, by spaces.
  /// @throws Error{invalid_argument} as refuse()
  std::vector<std::size_t> find_all(std::string_view cell, const std::string& where, const std::string& asker) const;

  /// @throws Error{invalid_argument} "where: \"name\" is no class of asker", with the closest, or that it is several
  [[noreturn]] void refuse(std::string_view name, const std::string& where, const std::string& asker) const;

 private:
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<std::string> names_;  // all that may be written, for suggestions
  std::size_t count_;
};

std::string_view trimmed(std::string_view text);

}  // namespace whimbrel
