#include "core/cgroup.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// cpu.max: "max 100000" or "150000 100000".
double quota_v2(const fs::path& folder) {
  std::ifstream file(folder / "cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  return std::strtod(quota.c_str(), nullptr) / period;
}

double quota_v1(const fs::path& folder) {
  double quota = 0, period = 0;
  std::ifstream(folder / "cpu.cfs_quota_us") >> quota;
  std::ifstream(folder / "cpu.cfs_period_us") >> period;
  return quota > 0 && period > 0 ? quota / period : 0;
}

/// The smallest limit of `path` and everything above it. Inside a container the own path may not exist below the mount: then
/// only the root remains, which is the container's own cgroup.
template <class ReadQuota>
double smallest_above(const fs::path& mount, const fs::path& path, ReadQuota read) {
  double smallest = 0;
  for (fs::path at = path.relative_path();; at = at.parent_path()) {
    const double quota = read(mount / at);
    if (quota > 0) smallest = smallest > 0 ? std::min(smallest, quota) : quota;
    if (at.empty()) return smallest;
  }
}

}  // namespace

double cgroup_cpu_quota(const fs::path& membership, const fs::path& root) {
  double smallest = 0;
  std::ifstream file(membership);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string hierarchy, controllers, path;
    std::getline(fields, hierarchy, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    double quota = 0;
    if (controllers.empty()) {
      quota = smallest_above(root, path, quota_v2);
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      const fs::path mount = fs::exists(root / "cpu") ? root / "cpu" : root / controllers;
      quota = smallest_above(mount, path, quota_v1);
    }
    if (quota > 0) smallest = smallest > 0 ? std::min(smallest, quota) : quota;
  }
  return smallest;
}

}  // namespace whimbrel
