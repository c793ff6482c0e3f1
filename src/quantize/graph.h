// An ONNX graph in memory: nodes in order of execution, constants by name, who makes a tensor and who reads it.
#pragma once

#include <onnx-ml.pb.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel::quantize {

/// One place where a tensor is read: input `input` of nodes[node].
struct Use {
  std::size_t node = 0;
  int input = 0;
};

/// More than this does not go into one protobuf message, which ends at 2 GB.
inline constexpr std::int64_t kInlineBytes = std::int64_t{1800} << 20;

/// Loading puts initializers apart from the rest, so that a node's inputs tell at once what is constant. After a change of
/// `nodes`, index() must be called before producer() and uses() are asked again. Value type; not thread-safe while changing.
class Graph {
 public:
  /// External data is read into memory. @throws Error{not_found}, Error{bad_manifest} for a file that is no ONNX model, or one
  /// with external data outside its folder (links resolved) or beyond its file's end
  static Graph load(const std::filesystem::path& path);

  /// Replaces the file in one step. Constants go to `<name>.data` beside it when they are more than `inline_bytes` together
  /// (protobuf ends at 2 GB). @throws Error{io}
  void save(const std::filesystem::path& path, std::int64_t inline_bytes = kInlineBytes) const;

  /// The same for a file that is read once and thrown away: at once under its name, and not forced to the disk.
  void save_scratch(const std::filesystem::path& path) const;

  std::vector<onnx::NodeProto> nodes;
  std::map<std::string, onnx::TensorProto> constants;
  /// Shapes of tensors that a run has shown, -1 for the batch.
  std::map<std::string, Shape> shapes;
  /// Everything but nodes and constants: inputs, outputs, opsets, metadata.
  onnx::ModelProto rest;

  /// The graph with more of its tensors among its outputs.
  Graph with_outputs(const std::vector<std::string>& tensors) const;

  const std::string& input() const { return rest.graph().input(0).name(); }
  bool is_output(const std::string& tensor) const { return outputs_.contains(tensor); }

  void index();
  /// Index of the node that makes `tensor`; nullopt for inputs and constants.
  std::optional<std::size_t> producer(const std::string& tensor) const;
  /// In order of execution; empty when nothing reads it.
  const std::vector<Use>& uses(const std::string& tensor) const;
  /// Nodes that no output needs are removed, and constants that nothing reads. Indexes.
  void remove_unused();

  bool is_constant(const std::string& tensor) const { return constants.contains(tensor); }
  /// Values of a float32 constant. @throws Error{unsupported} for another type
  std::vector<float> floats(const std::string& constant) const;
  std::vector<std::int64_t> integers(const std::string& constant) const;
  Shape shape_of(const std::string& constant) const;
  void set_floats(const std::string& name, const std::vector<float>& values, const Shape& shape);
  void set_bytes(const std::string& name, const std::vector<std::int8_t>& values, const Shape& shape);
  void set_bytes(const std::string& name, const std::vector<std::uint8_t>& values, const Shape& shape);
  void set_int32(const std::string& name, const std::vector<std::int32_t>& values, const Shape& shape);
  void set_int64(const std::string& name, const std::vector<std::int64_t>& values, const Shape& shape);

  /// Version of the default operator set; 0 without one.
  int opset() const;
  /// Replaces the entry of this key.
  void set_metadata(const std::string& key, const std::string& value);

 private:
  /// Everything in one message; constants apart in `data` when they are more than inline_bytes together.
  onnx::ModelProto whole(const std::filesystem::path& data, std::int64_t inline_bytes) const;

  std::map<std::string, std::size_t> producers_;
  std::map<std::string, std::vector<Use>> uses_;
  std::set<std::string> outputs_;
};

onnx::NodeProto make_node(std::string_view type, std::string name, const std::vector<std::string>& inputs,
                          const std::string& output);
void set_attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value);
void set_attribute(onnx::NodeProto& node, const std::string& name, const std::vector<std::int64_t>& values);
/// The attribute's value, or `missing`.
std::int64_t integer_attribute(const onnx::NodeProto& node, std::string_view name, std::int64_t missing);
std::vector<std::int64_t> integers_attribute(const onnx::NodeProto& node, std::string_view name);

}  // namespace whimbrel::quantize
