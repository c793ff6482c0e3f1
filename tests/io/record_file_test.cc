#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "io/temp_folder.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RecordFileTest : public InFolder {
 protected:
  std::vector<std::string> contents() {
    RecordFile file(path_);
    return contents(file);
  }
  static std::vector<std::string> contents(RecordFile& file) {
    std::vector<std::string> found;
    file.scan([&](const RecordFile::Record& record) {
      found.push_back(std::to_string(record.kind) + ":" + std::to_string(record.number) + ":" + std::string(record.bytes));
    });
    return found;
  }
  void write_two() {
    RecordFile file(path_);
    file.append(1, 7, "one");
    file.append(2, 8, "second");
  }
  std::string bytes() { return bytes_of(path_); }
  void put(const std::string& bytes) { file("records", bytes); }

  std::filesystem::path path_ = folder_ / "records";
};

TEST_F(RecordFileTest, GivesBackWhatWasAppended) {
  write_two();
  EXPECT_THAT(contents(), ElementsAre("1:7:one", "2:8:second"));
}

TEST_F(RecordFileTest, ReadsByPosition) {
  RecordFile file(path_);
  file.append(1, 0, "one");
  const auto position = file.append(1, 1, "second");
  std::string text(6, ' ');
  file.read(position, text);
  EXPECT_EQ(text, "second");
  EXPECT_THROW(file.read(position + 1, text), Error);
}

TEST_F(RecordFileTest, DropsWhatATornWriteLeftWhereverItWasTorn) {
  write_two();
  const auto whole = bytes();
  const std::size_t first = 24 + 3;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(whole.substr(0, size));
    EXPECT_EQ(contents().size(), size < first ? 0U : 1U) << size << " bytes";
  }
}

TEST_F(RecordFileTest, DropsARecordOfWhichABitChanged) {
  write_two();
  const auto whole = bytes();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    put(changed);
    EXPECT_EQ(contents().size(), at < 24 + 3 ? 0U : 1U) << "byte " << at;
  }
}

TEST_F(RecordFileTest, GoesOnBehindTheLastIntactRecord) {
  write_two();
  put(bytes().substr(0, bytes().size() - 1) + std::string(100, 'x'));
  {
    RecordFile file(path_);
    EXPECT_THAT(contents(file), ElementsAre("1:7:one"));
    file.append(3, 9, "");
  }
  EXPECT_THAT(contents(), ElementsAre("1:7:one", "3:9:"));
  EXPECT_EQ(std::filesystem::file_size(path_), 24U + 3 + 24);
}

TEST_F(RecordFileTest, DeclaredSizesAreNotTrusted) {
  write_two();
  auto changed = bytes();
  for (std::size_t i = 8; i < 15; ++i) changed[i] = '\x7f';
  put(changed);
  EXPECT_THAT(contents(), IsEmpty());
}

TEST_F(RecordFileTest, BelongsToOneAtATime) {
  RecordFile file(path_);
  file.append(1, 1, "mine");
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { RecordFile(path_).sync(); }),
              HasSubstr("another run writes into this folder"));
}

TEST_F(RecordFileTest, WhoIsRefusedDoesNotTakeTheNameAway) {
  RecordFile file(path_);
  error_of(ErrorCode::invalid_argument, [&] { RecordFile(path_).sync(); });
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(RecordFileTest, AnEmptyOneLeavesNoFile) {
  { RecordFile file(path_); }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(RecordFileTest, ClearForgetsAll) {
  write_two();
  {
    RecordFile file(path_);
    file.clear();
    file.append(5, 5, "new");
    file.sync();
  }
  EXPECT_THAT(contents(), ElementsAre("5:5:new"));
}

/// Recordings and outputs may share a folder, and what came with the recordings may be meant for this.
TEST_F(RecordFileTest, DoesNotOpenALink) {
  const auto precious = file("precious", "keep me");
  std::filesystem::create_symlink(precious, path_);
  EXPECT_THAT(error_of(ErrorCode::io, [&] { RecordFile records(path_); }), HasSubstr("records"));
  EXPECT_EQ(bytes_of(precious), "keep me");
}

/// A file of a terabyte may be a few bytes on disk.
TEST_F(RecordFileTest, DoesNotReadARecordThatIsLargerThanAnyThatIsWritten) {
  write_two();
  const auto whole = bytes();
  const std::int64_t size = std::int64_t{1} << 40;
  put(whole + std::string(8, '\0') + std::string(reinterpret_cast<const char*>(&size), sizeof size) + std::string(8, '\0'));
  std::error_code failed;
  std::filesystem::resize_file(path_, static_cast<std::uintmax_t>(size) * 2, failed);
  if (failed) GTEST_SKIP() << "no sparse files of this size here: " << failed.message();
  EXPECT_THAT(contents(), ElementsAre("1:7:one", "2:8:second"));
}

TEST_F(RecordFileTest, UnnamedLeavesNothing) {
  auto file = RecordFile::unnamed(folder_);
  file.append(1, 1, "x");
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace whimbrel
