#include "quantize/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>

#include "whimbrel/engines.h"
#include "whimbrel/io.h"

namespace whimbrel::quantize {
namespace {

namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "raw_data is little-endian");

std::string entry(const onnx::TensorProto& tensor, std::string_view key) {
  for (const auto& e : tensor.external_data()) {
    if (e.key() == key) return e.value();
  }
  return {};
}

[[noreturn]] void bad_model(const fs::path& path, const std::string& what) {
  throw Error(ErrorCode::bad_manifest, fmt::format("{}: {}", path.string(), what));
}

/// Reads values that check_model_files() has found to be there.
void read_external(const fs::path& model, onnx::TensorProto& tensor) {
  const fs::path file = model.parent_path() / entry(tensor, "location");
  const auto number = [&](std::string_view key, std::uint64_t missing) {
    const std::string text = entry(tensor, key);
    return text.empty() ? missing : std::stoull(text);
  };
  std::error_code failed;
  const std::uint64_t size = fs::file_size(file, failed);
  const std::uint64_t offset = number("offset", 0);
  const std::uint64_t length = number("length", size - offset);
  if (failed || offset > size || length > size - offset) bad_model(model, "cannot read " + file.string());
  std::ifstream stream(file, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(offset));
  std::string bytes(length, '\0');
  if (!stream.read(bytes.data(), static_cast<std::streamsize>(length))) bad_model(model, "cannot read " + file.string());
  *tensor.mutable_raw_data() = std::move(bytes);
  tensor.clear_external_data();
  tensor.clear_data_location();
}

/// Bytes of one value in raw_data; 0 for types that no constant of a float network has.
std::size_t value_size(int type) {
  switch (type) {
    case onnx::TensorProto::FLOAT:
    case onnx::TensorProto::INT32:
    case onnx::TensorProto::UINT32:
      return 4;
    case onnx::TensorProto::INT64:
    case onnx::TensorProto::UINT64:
    case onnx::TensorProto::DOUBLE:
      return 8;
    case onnx::TensorProto::INT8:
    case onnx::TensorProto::UINT8:
    case onnx::TensorProto::BOOL:
      return 1;
    case onnx::TensorProto::FLOAT16:
    case onnx::TensorProto::BFLOAT16:
      return 2;
    default:
      return 0;
  }
}

/// The shape must be that of the values that are there.
void check_size(const fs::path& model, const onnx::TensorProto& tensor) {
  const std::size_t size = value_size(tensor.data_type());
  const bool listed = tensor.data_type() == onnx::TensorProto::FLOAT || tensor.data_type() == onnx::TensorProto::INT64;
  if (size == 0 || (!tensor.has_raw_data() && !listed)) return;  // read nowhere; the engines check what they read
  std::uint64_t present = tensor.raw_data().size() / size;
  if (!tensor.has_raw_data())
    present = static_cast<std::uint64_t>(tensor.float_data_size()) + static_cast<std::uint64_t>(tensor.int64_data_size());
  bool good = tensor.raw_data().size() % size == 0;
  std::uint64_t count = 1;  // stays below what is present, or the shape has an axis of 0
  const bool none = std::ranges::find(tensor.dims(), 0) != tensor.dims().end();
  for (const auto axis : tensor.dims()) {
    good = good && axis >= 0 && (none || static_cast<std::uint64_t>(axis) <= present / count);
    if (good) count = none ? 0 : count * static_cast<std::uint64_t>(axis);
  }
  if (good && count == present) return;
  bad_model(model, fmt::format("constant '{}' of shape {} has {} values, expected as many as its shape says; export it again",
                               tensor.name(), to_string(Shape(tensor.dims().begin(), tensor.dims().end())), present));
}

template <typename T>
onnx::TensorProto tensor_of(const std::string& name, const std::vector<T>& values, const Shape& shape,
                            onnx::TensorProto::DataType type) {
  onnx::TensorProto tensor;
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const auto axis : shape) tensor.add_dims(axis);
  tensor.mutable_raw_data()->assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return tensor;
}

const onnx::AttributeProto* find_attribute(const onnx::NodeProto& node, std::string_view name) {
  const auto found = std::ranges::find_if(node.attribute(), [&](const auto& a) { return a.name() == name; });
  return found == node.attribute().end() ? nullptr : &*found;
}

onnx::AttributeProto& attribute_to_set(onnx::NodeProto& node, const std::string& name) {
  for (auto& attribute : *node.mutable_attribute()) {
    if (attribute.name() == name) return attribute;
  }
  auto& added = *node.add_attribute();
  added.set_name(name);
  return added;
}

/// Constants with their values in the file at `data`, in order of their names; their place instead of their values in `model`.
void write_external(onnx::ModelProto& model, const fs::path& data) {
  constexpr std::int64_t kAlignment = 4096;  // so that engines can map it
  AtomicFile file(data);
  for (auto& tensor : *model.mutable_graph()->mutable_initializer()) {
    if (!tensor.has_raw_data() || tensor.raw_data().size() < 1024) continue;
    file.write(std::string(static_cast<std::size_t>((kAlignment - file.size() % kAlignment) % kAlignment), '\0'));
    const auto add = [&](const char* key, const std::string& value) {
      auto& e = *tensor.add_external_data();
      e.set_key(key);
      e.set_value(value);
    };
    add("location", data.filename().string());
    add("offset", std::to_string(file.size()));
    add("length", std::to_string(tensor.raw_data().size()));
    file.write(tensor.raw_data());
    tensor.clear_raw_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  }
  file.commit();
}

}  // namespace

Graph Graph::load(const fs::path& path) {
  check_model_files(path);
  Graph graph;
  const std::string bytes = read_file(path, std::numeric_limits<std::int32_t>::max());  // protobuf's own limit
  if (!graph.rest.ParseFromString(bytes) || graph.rest.graph().node().empty()) {
    bad_model(path, "not an ONNX model, expected one as whimbrel export or torch.onnx.export write it");
  }
  auto& proto = *graph.rest.mutable_graph();
  for (auto& tensor : *proto.mutable_initializer()) {
    if (tensor.data_location() == onnx::TensorProto::EXTERNAL) read_external(path, tensor);
    check_size(path, tensor);
    graph.constants[tensor.name()] = std::move(tensor);
  }
  for (auto& node : *proto.mutable_node()) graph.nodes.push_back(std::move(node));
  proto.clear_initializer();
  proto.clear_node();
  // Older files list constants among the inputs too.
  auto& inputs = *proto.mutable_input();
  for (int i = inputs.size() - 1; i >= 0; --i) {
    if (graph.is_constant(inputs[i].name())) inputs.DeleteSubrange(i, 1);
  }
  if (inputs.size() != 1)
    bad_model(path, fmt::format("{} inputs, expected 1; export the model with the others fixed", inputs.size()));
  graph.index();
  return graph;
}

onnx::ModelProto Graph::whole(const fs::path& data, std::int64_t inline_bytes) const {
  onnx::ModelProto model = rest;
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : constants) {
    bytes += static_cast<std::int64_t>(tensor.raw_data().size());
    *model.mutable_graph()->add_initializer() = tensor;
  }
  for (const auto& node : nodes) *model.mutable_graph()->add_node() = node;
  if (bytes > inline_bytes) write_external(model, data);
  return model;
}

void Graph::save(const fs::path& path, std::int64_t inline_bytes) const {
  const auto model = whole(path.string() + ".data", inline_bytes);
  AtomicFile file(path);
  file.write(model.SerializeAsString());
  file.commit();
}

void Graph::save_scratch(const fs::path& path) const {
  const auto model = whole(path.string() + ".data", kInlineBytes);
  std::ofstream file(path, std::ios::binary);
  if (!model.SerializeToOstream(&file) || !file.flush()) {
    throw Error(ErrorCode::io, fmt::format("{}: cannot write; is the disk full?", path.string()));
  }
}

Graph Graph::with_outputs(const std::vector<std::string>& tensors) const {
  Graph graph = *this;
  graph.rest.mutable_graph()->clear_value_info();
  for (const auto& tensor : tensors) {
    if (is_output(tensor)) continue;
    graph.rest.mutable_graph()->add_output()->set_name(tensor);
  }
  graph.index();
  return graph;
}

void Graph::index() {
  producers_.clear();
  uses_.clear();
  outputs_.clear();
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    for (const auto& output : nodes[n].output()) producers_[output] = n;
    for (int i = 0; i < nodes[n].input_size(); ++i) uses_[nodes[n].input(i)].push_back({n, i});
  }
  for (const auto& output : rest.graph().output()) outputs_.insert(output.name());
}

std::optional<std::size_t> Graph::producer(const std::string& tensor) const {
  const auto found = producers_.find(tensor);
  return found == producers_.end() ? std::nullopt : std::optional(found->second);
}

const std::vector<Use>& Graph::uses(const std::string& tensor) const {
  static const std::vector<Use> kNone;
  const auto found = uses_.find(tensor);
  return found == uses_.end() ? kNone : found->second;
}

void Graph::remove_unused() {
  index();
  std::set<std::string> needed = outputs_;
  std::vector<onnx::NodeProto> kept;
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (std::ranges::none_of(node->output(), [&](const auto& o) { return needed.contains(o); })) continue;
    needed.insert(node->input().begin(), node->input().end());
    kept.push_back(std::move(*node));
  }
  nodes.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  std::erase_if(constants, [&](const auto& c) { return !needed.contains(c.first); });
  index();
}

std::vector<float> Graph::floats(const std::string& constant) const {
  const auto& tensor = constants.at(constant);
  if (tensor.data_type() != onnx::TensorProto::FLOAT) {
    throw Error(ErrorCode::unsupported,
                fmt::format("constant '{}' has ONNX type {}, expected float32; export the model in float32", constant,
                            tensor.data_type()));
  }
  if (!tensor.has_raw_data()) return {tensor.float_data().begin(), tensor.float_data().end()};
  std::vector<float> values(tensor.raw_data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.raw_data().data(), values.size() * sizeof(float));
  return values;
}

std::vector<std::int64_t> Graph::integers(const std::string& constant) const {
  const auto& tensor = constants.at(constant);
  if (tensor.data_type() != onnx::TensorProto::INT64) return {};
  if (!tensor.has_raw_data()) return {tensor.int64_data().begin(), tensor.int64_data().end()};
  std::vector<std::int64_t> values(tensor.raw_data().size() / sizeof(std::int64_t));
  std::memcpy(values.data(), tensor.raw_data().data(), values.size() * sizeof(std::int64_t));
  return values;
}

Shape Graph::shape_of(const std::string& constant) const {
  const auto& dims = constants.at(constant).dims();
  return {dims.begin(), dims.end()};
}

void Graph::set_floats(const std::string& name, const std::vector<float>& values, const Shape& shape) {
  constants[name] = tensor_of(name, values, shape, onnx::TensorProto::FLOAT);
}
void Graph::set_bytes(const std::string& name, const std::vector<std::int8_t>& values, const Shape& shape) {
  constants[name] = tensor_of(name, values, shape, onnx::TensorProto::INT8);
}
void Graph::set_bytes(const std::string& name, const std::vector<std::uint8_t>& values, const Shape& shape) {
  constants[name] = tensor_of(name, values, shape, onnx::TensorProto::UINT8);
}
void Graph::set_int32(const std::string& name, const std::vector<std::int32_t>& values, const Shape& shape) {
  constants[name] = tensor_of(name, values, shape, onnx::TensorProto::INT32);
}
void Graph::set_int64(const std::string& name, const std::vector<std::int64_t>& values, const Shape& shape) {
  constants[name] = tensor_of(name, values, shape, onnx::TensorProto::INT64);
}

int Graph::opset() const {
  for (const auto& import : rest.opset_import()) {
    if (import.domain().empty() || import.domain() == "ai.onnx") return static_cast<int>(import.version());
  }
  return 0;
}

void Graph::set_metadata(const std::string& key, const std::string& value) {
  for (auto& property : *rest.mutable_metadata_props()) {
    if (property.key() == key) return property.set_value(value);
  }
  auto& added = *rest.add_metadata_props();
  added.set_key(key);
  added.set_value(value);
}

onnx::NodeProto make_node(std::string_view type, std::string name, const std::vector<std::string>& inputs,
                          const std::string& output) {
  onnx::NodeProto node;
  node.set_op_type(std::string(type));
  node.set_name(std::move(name));
  for (const auto& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

void set_attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  auto& attribute = attribute_to_set(node, name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

void set_attribute(onnx::NodeProto& node, const std::string& name, const std::vector<std::int64_t>& values) {
  auto& attribute = attribute_to_set(node, name);
  attribute.set_type(onnx::AttributeProto::INTS);
  attribute.clear_ints();
  for (const auto value : values) attribute.add_ints(value);
}

std::int64_t integer_attribute(const onnx::NodeProto& node, std::string_view name, std::int64_t missing) {
  const auto* attribute = find_attribute(node, name);
  return attribute == nullptr ? missing : attribute->i();
}

std::vector<std::int64_t> integers_attribute(const onnx::NodeProto& node, std::string_view name) {
  const auto* attribute = find_attribute(node, name);
  if (attribute == nullptr) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}

}  // namespace whimbrel::quantize
