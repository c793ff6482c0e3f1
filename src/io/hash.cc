#include <fmt/format.h>
#include <xxhash.h>

#include <memory>
#include <new>
#include <string>

#include "io/descriptor.h"
#include "whimbrel/io.h"

namespace whimbrel {

std::string file_hash(const std::filesystem::path& path) {
  const Descriptor file(open_for_reading(path));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  std::string block(std::size_t{1} << 20, '\0');
  for (std::size_t n = block.size(); n == block.size();) {
    n = read_fully(file, block, path);
    XXH3_128bits_update(state.get(), block.data(), n);
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string text_hash(std::string_view text) { return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size())); }

}  // namespace whimbrel
