// Models whose tensors say that their values lie elsewhere, written by hand: a file of ONNX is nested fields of numbers and
// bytes.
#include <gmock/gmock.h>

#include "engines/models.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string number(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string field(int id, const std::string& bytes) {
  return number(static_cast<std::uint64_t>(id) << 3 | 2) + number(bytes.size()) + bytes;
}

std::string entry(const std::string& key, const std::string& value) { return field(13, field(1, key) + field(2, value)); }

std::string tensor_at(const std::string& location, const std::string& offset = "0", const std::string& length = "16") {
  const std::string external = number(14 << 3) + number(1);  // data_location
  return field(8, "weights") + entry("location", location) + entry("offset", offset) + entry("length", length) + external;
}

/// A model with the tensor in its graph.
std::string in_graph(const std::string& tensor) { return field(7, field(5, tensor)); }

class ModelFiles : public testing::Test {
 protected:
  ModelFiles() : root_(test_file("model_files") / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "model");
    write("../secret.bin", std::string(4096, 's'));
    write("weights.bin", std::string(64, 'w'));
  }
  ~ModelFiles() override { fs::remove_all(root_); }

  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(root_ / "model" / name, std::ios::binary) << bytes;
    return root_ / "model" / name;
  }
  std::string refusal(const std::string& model) const {
    const auto path = write("m.onnx", model);
    const auto error = error_of([&] { check_model_files(path); });
    EXPECT_EQ(to_string(error.code()), "bad_manifest") << error.what();
    return error.what();
  }

  fs::path root_;
};

TEST_F(ModelFiles, MayLieBesideTheModel) {
  EXPECT_NO_THROW(check_model_files(write("m.onnx", in_graph(tensor_at("weights.bin")))));
  EXPECT_NO_THROW(check_model_files(write("m.onnx", in_graph(tensor_at("weights.bin", "48", "")))));
}

TEST_F(ModelFiles, MayNotLieElsewhere) {
  fs::create_symlink("../secret.bin", root_ / "model" / "link.bin");
  fs::create_directory_symlink("..", root_ / "model" / "up");
  const std::string absolute = (root_ / "secret.bin").string();
  for (const std::string& location :
       {std::string("../secret.bin"), absolute, std::string("link.bin"), std::string("up/secret.bin"), std::string("/dev/zero"),
        std::string(), std::string("weights.bin\0", 12)}) {
    EXPECT_THAT(refusal(in_graph(tensor_at(location))), AllOf(HasSubstr("'weights'"), HasSubstr("inside the model's folder")));
  }
}

/// The engines take this name for an address in their own memory.
TEST_F(ModelFiles, MayNotBeAnAddress) {
  fs::create_directories(root_ / "model" / "*" / "_ORT_MEM_ADDR_");
  write("*/_ORT_MEM_ADDR_/*", std::string(64, 'w'));
  EXPECT_THAT(refusal(in_graph(tensor_at("*/_ORT_MEM_ADDR_/*"))), HasSubstr("inside the model's folder"));
}

TEST_F(ModelFiles, AreLookedForWhereverATensorCanStand) {
  const std::string bad = tensor_at("../secret.bin");
  const auto in_node = [](const std::string& attribute) { return field(7, field(1, field(5, attribute))); };
  const std::string open_group = number(99 << 3 | 3), close_group = number(99 << 3 | 4);
  const std::string models[] = {
      in_node(field(5, bad)),                                 // a Constant
      in_node(field(10, bad)),                                // several tensors
      in_node(field(22, field(1, bad))),                      // values of a sparse one
      in_node(field(23, field(2, bad))),                      // indices of several
      in_node(field(6, field(5, bad))),                       // in the branch of an If
      in_node(field(11, field(1, field(5, field(5, bad))))),  // a Constant in one of several branches
      field(7, field(15, field(1, bad))),                     // sparse initializer
      field(25, field(7, field(5, field(5, bad)))),           // a function's node
      field(25, field(11, field(5, bad))),                    // a function's default
      field(20, field(1, field(5, bad))),                     // training
      field(7, "") + in_graph(bad),                           // a graph in two pieces, which are one
      field(7, open_group + field(5, bad) + close_group),     // in what readers skip
      open_group + close_group + in_graph(bad),               // behind it
  };
  for (const auto& model : models) EXPECT_THAT(refusal(model), HasSubstr("'../secret.bin'"));
}

TEST_F(ModelFiles, EndWhereTheirFileEnds) {
  EXPECT_THAT(refusal(in_graph(tensor_at("weights.bin", "60", "16"))), HasSubstr("16 bytes at 60"));
  EXPECT_THAT(refusal(in_graph(tensor_at("weights.bin", "18446744073709551608", "16"))), HasSubstr("which is not there"));
  EXPECT_THAT(refusal(in_graph(tensor_at("weights.bin", "0", "18446744073709551616"))), HasSubstr("expected a number"));
  EXPECT_THAT(refusal(in_graph(tensor_at("gone.bin", "0", "0"))), HasSubstr("which is not there"));
}

TEST_F(ModelFiles, HaveOnePlace) {
  EXPECT_THAT(refusal(in_graph(tensor_at("weights.bin") + entry("location", "../secret.bin"))), HasSubstr("two of 'location'"));
}

TEST_F(ModelFiles, AreLeftToTheEngineWhereTheBytesAreNoModel) {
  for (const std::string& bytes :
       {std::string(), std::string("this is no protobuf"), std::string(100, '\xff'), field(7, "\x2a\x7f")})
    EXPECT_NO_THROW(check_model_files(write("m.onnx", bytes)));
  EXPECT_NO_THROW(check_model_files(root_ / "none.onnx"));
  std::string deep;
  for (int i = 0; i < 3000; ++i) deep = i % 3 == 0 ? field(6, deep) : i % 3 == 1 ? field(5, deep) : field(1, deep);
  EXPECT_THAT(refusal(field(7, deep)), HasSubstr("without end"));
}

TEST_F(ModelFiles, OfAnIrMayNotBeALinkOut) {
  const auto xml = write("net.xml", "<net/>");
  write("net.bin", "");
  EXPECT_NO_THROW(check_model_files(xml));
  fs::remove(root_ / "model" / "net.bin");
  fs::create_symlink("../secret.bin", root_ / "model" / "net.bin");
  EXPECT_THAT(error_of([&] { check_model_files(xml); }).what(), AllOf(HasSubstr("net.bin"), HasSubstr("leaves the folder")));
}

TEST_F(ModelFiles, AreCheckedByAllThatOpensAModel) {
  const auto path = write("m.onnx", in_graph(tensor_at("../secret.bin")));
  const std::vector<float> input(8);
  const auto refused = [](auto&& open) { EXPECT_THAT(error_of(open).what(), HasSubstr("inside the model's folder")); };
  for (const auto kind : {EngineKind::onnxruntime, EngineKind::openvino}) {
    refused([&] { open_session(kind, path, {}); });
    refused([&] { profile_model(kind, path, {}, input, 1); });
    refused([&] { model_remark(kind, path, "key"); });
  }
  refused([&] { inspect_model(path, {}); });
  refused([&] { convert_model(path, root_ / "out.xml", {}); });
  if (engine_status(EngineKind::onnxruntime).available) refused([&] { fold_model(path, root_ / "folded.onnx"); });
}

}  // namespace
}  // namespace whimbrel
