#include <gmock/gmock.h>

#include <cstring>

#include "io/temp_folder.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Npy = InFolder;

std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// A version 1.0 file with this dictionary.
std::string npy(const std::string& dictionary, const std::string& values) {
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(dictionary.size() + 1) + '\0' + dictionary + '\n' + values;
}

TEST(NpyHeader, IsAsTheFormatSays) {
  // https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0
  const auto header = npy_header({3, 4});
  EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(static_cast<unsigned char>(header[8]) + 256U * static_cast<unsigned char>(header[9]), header.size() - 10);
  EXPECT_THAT(header, HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"));
  EXPECT_EQ(header.back(), '\n');
}

TEST(NpyHeader, WritesShapesAsPythonDoesAndAlignsTheValues) {
  EXPECT_THAT(npy_header({}), HasSubstr("'shape': (), }"));
  EXPECT_THAT(npy_header({7}), HasSubstr("'shape': (7,), }"));
  for (std::int64_t n = 1; n < 1'000'000'000'000; n *= 10) EXPECT_EQ(npy_header({n, n, n, n}).size() % 64, 0U);
}

TEST_F(Npy, ReadsWhatItWrites) {
  for (const Shape& shape :
       {Shape{}, Shape{3}, Shape{0}, Shape{2, 3}, Shape{2, 1, 3}, Shape{4, 0}, Shape{std::int64_t{1} << 60, 0}}) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 0.5F;
    const auto array = read_npy(file("x.npy", npy_header(shape) + floats(values)));
    EXPECT_EQ(array.shape, shape);
    EXPECT_EQ(array.values, values);
  }
}

TEST_F(Npy, ReadsAFileOfNumPy) {
  // numpy 2: numpy.save("x.npy", numpy.array([[1.5], [-2.0]], numpy.float32)), byte by byte.
  std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  dictionary.resize(117, ' ');
  const auto bytes = npy(dictionary, std::string("\0\0\xC0\x3F\0\0\0\xC0", 8));
  ASSERT_EQ(bytes.size(), 136U);
  const auto array = read_npy(file("x.npy", bytes));
  EXPECT_THAT(array.shape, ElementsAre(2, 1));
  EXPECT_THAT(array.values, ElementsAre(1.5F, -2.0F));
}

TEST_F(Npy, TakesTheKeysInAnyOrder) {
  const auto array = read_npy(file("x.npy", npy("{'shape': (1,), 'fortran_order': False, 'descr': '<f4'}", floats({8}))));
  EXPECT_THAT(array.values, ElementsAre(8.0F));
}

TEST_F(Npy, RefusesOtherTypesOrdersAndVersions) {
  const auto refuse = [&](const std::string& bytes) {
    return error_of(ErrorCode::invalid_argument, [&] { (void)read_npy(file("x.npy", bytes)); });
  };
  EXPECT_THAT(refuse(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", "12345678")),
              AllOf(HasSubstr("x.npy: values of type '<f8'"), HasSubstr("expected"), HasSubstr("float32")));
  EXPECT_THAT(refuse(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "1234")), HasSubstr("'>f4'"));
  EXPECT_THAT(refuse(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", "1234")), HasSubstr("Fortran order"));
  auto second = npy_header({1}) + "1234";
  second[6] = 2;
  EXPECT_THAT(refuse(second), HasSubstr("version 2"));
  EXPECT_THAT(refuse("RIFF1234WAVE"), HasSubstr("not a NumPy file"));
  EXPECT_THAT(refuse(""), HasSubstr("not a NumPy file"));
}

TEST_F(Npy, RefusesHeadersThatCannotBeRead) {
  const auto refuse = [&](const std::string& bytes) {
    return error_of(ErrorCode::invalid_argument, [&] { (void)read_npy(file("x.npy", bytes)); });
  };
  EXPECT_THAT(refuse(npy_header({1}).substr(0, 40)), HasSubstr("header that ends early"));
  EXPECT_THAT(refuse(npy("{'descr': '<f4', 'shape': (1,), }", "1234")), HasSubstr("fortran_order"));
  for (const std::string shape : {"(x,)", "(-1,)", "(99999999999999999999,)", "3", "(1"}) {
    EXPECT_THAT(refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape, "1234")), HasSubstr("shape"));
  }
}

TEST_F(Npy, RefusesASizeThatDoesNotMatchTheShape) {
  const auto refuse = [&](const Shape& shape, std::size_t bytes) {
    return error_of(ErrorCode::invalid_argument,
                    [&] { (void)read_npy(file("x.npy", npy_header(shape) + std::string(bytes, '\0'))); });
  };
  EXPECT_THAT(refuse({2, 3}, 23), AllOf(HasSubstr("23 bytes of values for shape [2, 3]"), HasSubstr("expected")));
  EXPECT_THAT(refuse({2, 3}, 28), HasSubstr("28 bytes"));
  EXPECT_THAT(refuse({}, 0), HasSubstr("0 bytes"));
  EXPECT_THAT(refuse({0}, 4), HasSubstr("4 bytes"));
  // Products that would wrap around to 0 and to 4 bytes.
  EXPECT_THAT(refuse({std::int64_t{1} << 32, std::int64_t{1} << 32}, 0), HasSubstr("0 bytes"));
  EXPECT_THAT(refuse({(std::int64_t{1} << 62) + 1, 4}, 16), HasSubstr("16 bytes"));
}

TEST_F(Npy, NamesWhatIsNotThere) {
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)read_npy(folder_ / "nothing.npy"); }), HasSubstr("nothing.npy"));
}

}  // namespace
}  // namespace whimbrel
