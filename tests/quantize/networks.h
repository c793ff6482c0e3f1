// Small networks written in the test that needs them, and what runs them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "io/temp_folder.h"
#include "quantize/graph.h"
#include "quantize/rows.h"

namespace whimbrel::quantize {

struct ConvOptions {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t pad = 0;
  std::int64_t group = 1;
  bool bias = true;
};

/// A graph as it is written down. Nodes have the names of their results.
class Network {
 public:
  /// The input is "x" [batch, row...].
  explicit Network(const Shape& row, unsigned seed = 1) : random_(seed) {
    graph_.rest.set_ir_version(9);
    set_opset(17);
    graph_.rest.mutable_graph()->set_name("network");
    describe(*graph_.rest.mutable_graph()->add_input(), "x", row);
  }

  void set_opset(int version) {
    graph_.rest.clear_opset_import();
    graph_.rest.add_opset_import()->set_version(version);
  }

  std::vector<float> random(std::int64_t n, float deviation = 0.3F) {
    std::normal_distribution<float> draw(0, deviation);
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& v : values) v = draw(random_);
    return values;
  }

  std::string constant(const std::string& name, const std::vector<float>& values, const Shape& shape) {
    graph_.set_floats(name, values, shape);
    return name;
  }
  std::string constant(const std::string& name, const std::vector<std::int64_t>& values) {
    graph_.set_int64(name, values, {std::ssize(values)});
    return name;
  }
  std::string scalar(const std::string& name, float value) { return constant(name, std::vector<float>{value}, {}); }

  std::string add(const std::string& type, const std::string& name, const std::vector<std::string>& inputs) {
    graph_.nodes.push_back(make_node(type, name, inputs, name));
    return name;
  }

  /// Weights are "<name>.weight" and "<name>.bias".
  std::string conv(const std::string& name, const std::string& from, std::int64_t inputs, std::int64_t outputs,
                   const ConvOptions& o = {}) {
    const Shape shape = {outputs, inputs / o.group, o.kernel, o.kernel};
    std::vector<std::string> reads = {from, constant(name + ".weight", random(element_count(shape)), shape)};
    if (o.bias) reads.push_back(constant(name + ".bias", random(outputs), {outputs}));
    add("Conv", name, reads);
    set("kernel_shape", std::vector{o.kernel, o.kernel});
    set("strides", std::vector{o.stride, o.stride});
    set("pads", std::vector{o.pad, o.pad, o.pad, o.pad});
    set("group", o.group);
    return name;
  }

  /// y = x W + b, or x W^T + b.
  std::string gemm(const std::string& name, const std::string& from, std::int64_t inputs, std::int64_t outputs,
                   bool transposed = true) {
    const Shape shape = transposed ? Shape{outputs, inputs} : Shape{inputs, outputs};
    add("Gemm", name,
        {from, constant(name + ".weight", random(inputs * outputs), shape),
         constant(name + ".bias", random(outputs), {outputs})});
    set("transB", std::int64_t{transposed});
    return name;
  }

  std::string matmul(const std::string& name, const std::string& from, std::int64_t inputs, std::int64_t outputs) {
    return add("MatMul", name, {from, constant(name + ".weight", random(inputs * outputs), {inputs, outputs})});
  }

  /// x * sigmoid(x), as torch.onnx.export writes it.
  std::string silu(const std::string& name, const std::string& from) {
    return add("Mul", name, {from, add("Sigmoid", name + "_sigmoid", {from})});
  }

  /// Attribute of the node that was added last.
  template <typename T>
  void set(const std::string& name, const T& value) {
    set_attribute(graph_.nodes.back(), name, value);
  }

  void output(const std::string& tensor, const Shape& row) {
    describe(*graph_.rest.mutable_graph()->add_output(), tensor, row);
  }

  onnx::ModelProto& rest() { return graph_.rest; }

  Graph graph() const {
    Graph graph = graph_;
    graph.index();
    return graph;
  }

  std::filesystem::path save(const std::filesystem::path& path) const {
    graph().save(path);
    return path;
  }

 private:
  static void describe(onnx::ValueInfoProto& info, const std::string& name, const Shape& row) {
    info.set_name(name);
    auto& type = *info.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_param("batch");
    for (std::size_t i = 0; i < row.size(); ++i) {
      auto& dim = *type.mutable_shape()->add_dim();
      if (row[i] < 0) {
        dim.set_dim_param("free_" + std::to_string(i));
      } else {
        dim.set_dim_value(row[i]);
      }
    }
  }

  Graph graph_;
  std::mt19937 random_;
};

/// Rows of a normal distribution, the same ones at every call.
inline WindowRows random_rows(std::int64_t count, float deviation = 1) {
  return {count, [deviation](std::int64_t row, std::span<float> input) {
            std::mt19937 random(static_cast<unsigned>(row) + 100);
            std::normal_distribution<float> draw(0, deviation);
            for (float& v : input) v = draw(random);
          }};
}

/// Every output of every row, by a real engine.
inline std::vector<std::vector<float>> answers(EngineKind engine, const std::filesystem::path& model, const Shape& row_shape,
                                               const WindowRows& rows) {
  const auto session = open_session(engine, model, {.batch = 1, .workers = 1, .row_shape = row_shape});
  return outputs_of(*session, rows, 1);
}

inline const onnx::NodeProto* find_node(const Graph& graph, const std::string& name) {
  const auto found = std::ranges::find_if(graph.nodes, [&](const auto& node) { return node.name() == name; });
  return found == graph.nodes.end() ? nullptr : &*found;
}

inline std::int64_t count_of(const Graph& graph, const std::string& type) {
  return std::ranges::count_if(graph.nodes, [&](const auto& node) { return node.op_type() == type; });
}

inline float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace whimbrel::quantize
