// What an engine would read besides the model's own file, checked before an engine sees the model: ONNX says in its tensors
// where their values lie, and an engine reads from there whatever it is.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "whimbrel/engines.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// The bytes of a file, not read before they are looked at: of a model of 300 MB that is a few hundred kB.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    struct stat status {};
    if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      bytes_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    ::close(fd);
  }
  ~MappedFile() {
    if (bytes_ != MAP_FAILED) ::munmap(bytes_, size_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const {
    return bytes_ == MAP_FAILED ? std::string_view() : std::string_view(static_cast<const char*>(bytes_), size_);
  }

 private:
  void* bytes_ = MAP_FAILED;
  std::size_t size_ = 0;
};

struct Field {
  std::uint32_t number = 0;
  bool holds_bytes = false;
  std::string_view bytes;
};

/// The fields of one protobuf message. It ends where the bytes are no protobuf: there the engines refuse the file.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  bool next(Field& field) {
    std::uint64_t tag = 0, size = 0;
    if (rest_.empty() || !take_number(tag)) return false;
    field.number = static_cast<std::uint32_t>(tag) >> 3;
    field.holds_bytes = (tag & 7) == 2;
    switch (tag & 7) {
      case 0:
        return take_number(size);
      case 1:
        return take(8, field);
      case 2:
        return take_number(size) && take(size, field);
      case 3:  // groups, which protobuf skips where it does not know them: what is in them is looked at too
      case 4:
        return true;
      case 5:
        return take(4, field);
      default:
        return false;
    }
  }

 private:
  bool take(std::uint64_t size, Field& field) {
    if (size > rest_.size()) return false;
    field.bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  bool take_number(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  std::string_view rest_;
};

enum class Kind { model, graph, node, attribute, tensor, sparse_tensor, function, training };

/// Fields of onnx.proto that hold messages with tensors somewhere inside.
struct Child {
  Kind in;
  std::uint32_t number;
  Kind holds;
};
constexpr Child kChildren[] = {
    {Kind::model, 7, Kind::graph},
    {Kind::model, 20, Kind::training},
    {Kind::model, 25, Kind::function},
    {Kind::graph, 1, Kind::node},
    {Kind::graph, 5, Kind::tensor},
    {Kind::graph, 15, Kind::sparse_tensor},
    {Kind::node, 5, Kind::attribute},
    {Kind::attribute, 5, Kind::tensor},
    {Kind::attribute, 6, Kind::graph},
    {Kind::attribute, 10, Kind::tensor},
    {Kind::attribute, 11, Kind::graph},
    {Kind::attribute, 22, Kind::sparse_tensor},
    {Kind::attribute, 23, Kind::sparse_tensor},
    {Kind::sparse_tensor, 1, Kind::tensor},
    {Kind::sparse_tensor, 2, Kind::tensor},
    {Kind::function, 7, Kind::node},
    {Kind::function, 11, Kind::attribute},
    {Kind::training, 1, Kind::graph},
    {Kind::training, 2, Kind::graph},
};
constexpr std::uint32_t kTensorName = 8, kExternalData = 13, kEntryKey = 1, kEntryValue = 2;
constexpr int kDeepest = 200;  // protobuf itself refuses at 100

[[noreturn]] void refuse(const fs::path& model, const std::string& what) {
  throw Error(ErrorCode::bad_manifest, fmt::format("{}: {}", model.string(), what));
}

class ExternalData {
 public:
  explicit ExternalData(const fs::path& model) : model_(model) {}

  void check(std::string_view bytes, Kind kind, int depth) const {
    if (depth > kDeepest) refuse(model_, "messages within messages without end, expected an ONNX model");
    if (kind == Kind::tensor) return check_tensor(bytes);
    Field field;
    for (Message message(bytes); message.next(field);) {
      const auto* child =
          std::ranges::find_if(kChildren, [&](const Child& c) { return c.in == kind && c.number == field.number; });
      if (field.holds_bytes && child != std::end(kChildren)) check(field.bytes, child->holds, depth + 1);
    }
  }

 private:
  using Entries = std::map<std::string, std::string, std::less<>>;

  void check_tensor(std::string_view bytes) const {
    std::string name;
    Entries entries;
    Field field;
    for (Message message(bytes); message.next(field);) {
      if (!field.holds_bytes) continue;
      if (field.number == kTensorName) name = field.bytes;
      if (field.number == kExternalData) add(field.bytes, entries);
    }
    if (!entries.empty()) check_place(name, entries);
  }

  void add(std::string_view entry, Entries& entries) const {
    std::string key, value;
    Field field;
    for (Message message(entry); message.next(field);) {
      if (field.number == kEntryKey) key = field.bytes;
      if (field.number == kEntryValue) value = field.bytes;
    }
    // Readers differ in which of two they take.
    if (!entries.emplace(key, value).second) refuse(model_, fmt::format("external data with two of '{}', expected one", key));
  }

  void check_place(const std::string& name, const Entries& entries) const {
    const auto found = entries.find("location");
    const std::string location = found == entries.end() ? "" : found->second;
    const auto file = path_inside(model_.parent_path(), location);
    // To the engines this name means an address in memory, which the offset gives.
    const bool is_address = location.find("_ORT_MEM_ADDR_") != std::string::npos;
    if (location.empty() || !file || is_address) {
      std::string shown = location;
      std::ranges::replace(shown, '\0', '?');  // a message ends at one
      refuse(model_, fmt::format("external data of '{}' is at '{}', expected a file inside the model's folder; save the model "
                                 "again with its data beside it",
                                 name, shown));
    }
    std::error_code failed;
    const bool there = fs::is_regular_file(*file, failed);
    const std::uint64_t size = there ? fs::file_size(*file, failed) : 0;
    const std::uint64_t offset = number(name, entries, "offset", 0);
    const std::uint64_t length = number(name, entries, "length", offset > size ? 0 : size - offset);
    if (!there || failed || offset > size || length > size - offset) {
      refuse(model_, fmt::format("external data of '{}' is {} bytes at {} of {}, which is not there; copy the data file too",
                                 name, length, offset, file->string()));
    }
  }

  std::uint64_t number(const std::string& name, const Entries& entries, std::string_view key, std::uint64_t missing) const {
    const auto found = entries.find(key);
    if (found == entries.end() || found->second.empty()) return missing;
    const auto& text = found->second;
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
      refuse(model_, fmt::format("external data of '{}' has {} '{}', expected a number", name, key, text));
    }
    return value;
  }

  const fs::path& model_;
};

}  // namespace

void check_model_files(const fs::path& model) {
  if (model.extension() == ".onnx") return ExternalData(model).check(MappedFile(model).bytes(), Kind::model, 0);
  if (model.extension() != ".xml") return;
  const auto weights = fs::path(model.filename()).replace_extension(".bin").string();
  if (path_inside(model.parent_path(), weights)) return;
  refuse(model,
         fmt::format("its weights, {}, are a link that leaves the folder, expected a file beside the model; copy it there",
                     weights));
}

}  // namespace whimbrel
