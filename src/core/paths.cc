#include <system_error>

#include "whimbrel/core.h"

namespace whimbrel {

namespace fs = std::filesystem;

std::optional<fs::path> path_inside(const fs::path& folder, const std::string& named) {
  // The system ends a name at its first zero byte: what is checked must be what is opened.
  if (named.find('\0') != std::string::npos) return std::nullopt;
  const fs::path root = folder.empty() ? "." : folder;
  std::error_code failed, failed_too;
  const auto relative = fs::weakly_canonical(root / named, failed).lexically_relative(fs::weakly_canonical(root, failed_too));
  if (failed || failed_too || relative.empty() || relative == "." || *relative.begin() == "..") return std::nullopt;
  return folder / named;
}

}  // namespace whimbrel
