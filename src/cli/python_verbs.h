// Verbs that are Python: programs named whimbrel-<verb>, beside this one or on PATH, as git does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace whimbrel::cli {

/// Becomes `whimbrel-<argv[1]>`; returns only where there is none.
void become_python_verb(char** argv);

/// Path of `whimbrel-<verb>`. @throws Error{unsupported} with the remedy
std::filesystem::path find_python_verb(const std::string& verb);

/// Runs it and waits. @throws Error{io} when it fails, after its own message on stderr
void run_python_verb(const std::filesystem::path& program, const std::vector<std::string>& arguments);

}  // namespace whimbrel::cli
