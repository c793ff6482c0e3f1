#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

static_assert(std::endian::native == std::endian::little, "npy values are read as they lie in memory");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kPreamble = 10;  // magic, version, header length
constexpr std::size_t kAlignment = 64;

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& found) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: {}, expected a NumPy file (version 1.0) of float32 in C order", path.string(), found));
}

/// The text behind `'key':` in the header's Python dictionary.
std::string_view value_of(std::string_view header, std::string_view key, const std::filesystem::path& path) {
  const auto at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) refuse(path, fmt::format("no \"{}\" in the header", key));
  auto value = header.substr(at + key.size() + 3);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

Shape parse_shape(std::string_view text, const std::filesystem::path& path) {
  const auto end = text.find(')');
  if (!text.starts_with('(') || end == std::string_view::npos) refuse(path, "no shape in the header");
  Shape shape;
  const char* at = text.data() + 1;
  const char* const stop = text.data() + end;
  while (at < stop) {  // "3, 4" | "3," | ""
    std::int64_t axis = 0;
    const auto parsed = std::from_chars(at, stop, axis);
    if (parsed.ec != std::errc() || axis < 0) refuse(path, "a shape that cannot be read");
    shape.push_back(axis);
    at = std::find_if(parsed.ptr, stop, [](char c) { return c != ',' && c != ' '; });
  }
  return shape;
}

/// Elements of a shape, or nothing where there are more than `most`: a shape that lies must not overflow the product.
std::optional<std::size_t> count_up_to(const Shape& shape, std::size_t most) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::size_t count = 1;
  for (const auto axis : shape) {
    if (static_cast<std::size_t>(axis) > most / count) return std::nullopt;
    count *= static_cast<std::size_t>(axis);
  }
  return count;
}

}  // namespace

std::string npy_header(const Shape& shape) {
  std::string axes;
  for (const auto axis : shape) axes += fmt::format("{}, ", axis);
  if (shape.size() > 1) axes.resize(axes.size() - 2);
  if (shape.size() == 1) axes.resize(axes.size() - 1);
  std::string dictionary = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", axes);
  const std::size_t total = (kPreamble + dictionary.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  dictionary.resize(total - kPreamble - 1, ' ');
  dictionary += '\n';
  std::string header(kMagic);
  header += '\x01';
  header += '\x00';
  header += static_cast<char>(dictionary.size() & 0xff);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

NpyArray read_npy(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  if (bytes.size() < kPreamble || !bytes.starts_with(kMagic)) refuse(path, "not a NumPy file");
  if (bytes[6] != 1) refuse(path, fmt::format("version {}", int{bytes[6]}));
  const std::size_t length = static_cast<unsigned char>(bytes[8]) | std::size_t{static_cast<unsigned char>(bytes[9])} << 8;
  if (bytes.size() < kPreamble + length) refuse(path, "a header that ends early");
  const auto header = std::string_view(bytes).substr(kPreamble, length);
  if (const auto type = value_of(header, "descr", path); !type.starts_with("'<f4'")) {
    refuse(path, fmt::format("values of type {}", type.substr(0, type.find(','))));
  }
  if (!value_of(header, "fortran_order", path).starts_with("False")) refuse(path, "Fortran order");

  NpyArray array{parse_shape(value_of(header, "shape", path), path), {}};
  const std::size_t present = bytes.size() - kPreamble - length;
  const auto count = count_up_to(array.shape, present / sizeof(float));
  if (!count || *count * sizeof(float) != present) {
    refuse(path, fmt::format("{} bytes of values for shape {}", present, to_string(array.shape)));
  }
  array.values.resize(*count);
  if (present > 0) std::memcpy(array.values.data(), bytes.data() + kPreamble + length, present);
  return array;
}

}  // namespace whimbrel
