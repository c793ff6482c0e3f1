// The CPU quota that a container or a systemd slice puts on this process.
#pragma once

#include <filesystem>

namespace whimbrel {

/// Cores that the process's cgroup and its ancestors may use at once (the smallest of their quotas), 0 where there is no limit.
/// Source: Linux's admin-guide/cgroup-v2 (cpu.max) and cgroup-v1 (cpu.cfs_quota_us, cpu.cfs_period_us).
/// @param membership  the process's "hierarchy:controllers:path" lines, /proc/self/cgroup
/// @param root        where the cgroup file systems are mounted
double cgroup_cpu_quota(const std::filesystem::path& membership, const std::filesystem::path& root);

}  // namespace whimbrel
