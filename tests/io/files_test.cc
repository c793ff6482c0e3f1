#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "io/temp_folder.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using AtomicFileTest = InFolder;
using ReadFile = InFolder;
using FileHash = InFolder;

TEST_F(AtomicFileTest, AppearsUnderItsNameOnlyOnCommit) {
  const auto path = folder_ / "out.csv";
  AtomicFile out(path);
  out.write("a,b\n");
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(folder_ / "out.csv.tmp"));
  out.commit();
  EXPECT_EQ(bytes_of(path), "a,b\n");
  EXPECT_FALSE(fs::exists(folder_ / "out.csv.tmp"));
}

TEST_F(AtomicFileTest, LeavesTheOldFileAndNoTemporaryOneWithoutCommit) {
  const auto path = file("out.csv", "old");
  { AtomicFile(path).write("new"); }
  EXPECT_EQ(bytes_of(path), "old");
  EXPECT_FALSE(fs::exists(folder_ / "out.csv.tmp"));
}

TEST_F(AtomicFileTest, ReplacesAnOldFileAndWhatAKilledRunLeft) {
  const auto path = file("out.csv", "old and longer than the new one");
  file("out.csv.tmp", "half of something");
  AtomicFile out(path);
  out.write("new");
  out.commit();
  EXPECT_EQ(bytes_of(path), "new");
}

/// Recordings and outputs may share a folder, and what came with the recordings may be meant for this.
TEST_F(AtomicFileTest, DoesNotWriteThroughALinkInItsWay) {
  const auto precious = file("precious", "keep me");
  fs::create_symlink(precious, folder_ / "out.csv.tmp");
  fs::create_symlink(precious, folder_ / "out.csv");
  AtomicFile out(folder_ / "out.csv");
  out.write("new");
  out.commit();
  EXPECT_EQ(bytes_of(precious), "keep me");
  EXPECT_EQ(bytes_of(folder_ / "out.csv"), "new");
  EXPECT_FALSE(fs::is_symlink(folder_ / "out.csv"));
}

TEST_F(AtomicFileTest, KeepsEveryByteOfPiecesAroundItsBuffer) {
  std::string expected;
  AtomicFile out(folder_ / "big.bin");
  for (const std::size_t size : {1U, 262143U, 1U, 262144U, 7U, 1000000U, 0U, 3U}) {
    const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
    out.write(piece);
    expected += piece;
    EXPECT_EQ(out.size(), static_cast<std::int64_t>(expected.size()));
  }
  out.commit();
  EXPECT_EQ(bytes_of(folder_ / "big.bin"), expected);
}

TEST_F(AtomicFileTest, WritesFloatsAsTheyLieInMemory) {
  const std::vector<float> values = {1.5F, -0.0F};
  AtomicFile out(folder_ / "values.f32");
  out.write(values);
  out.commit();
  EXPECT_EQ(bytes_of(folder_ / "values.f32"), std::string("\0\0\xC0\x3F\0\0\0\x80", 8));
}

TEST_F(AtomicFileTest, CreatesMissingFolders) {
  AtomicFile out(folder_ / "a" / "b" / "out.txt");
  out.commit();
  EXPECT_TRUE(fs::is_regular_file(folder_ / "a/b/out.txt"));
}

TEST_F(AtomicFileTest, MovesWithItsTemporaryFile) {
  AtomicFile first(folder_ / "first");
  AtomicFile second(folder_ / "second");
  first = std::move(second);
  EXPECT_FALSE(fs::exists(folder_ / "first.tmp"));
  first.write("x");
  first.commit();
  EXPECT_EQ(bytes_of(folder_ / "second"), "x");
}

TEST_F(AtomicFileTest, RefusesAFolderInItsPlaceBeforeAnythingIsWritten) {
  fs::create_directories(folder_ / "out.csv");
  EXPECT_THAT(error_of(ErrorCode::io, [&] { AtomicFile out(folder_ / "out.csv"); }),
              AllOf(HasSubstr("out.csv"), HasSubstr(std::strerror(EISDIR))));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { AtomicFile out(""); }), HasSubstr("expected a file"));
}

TEST_F(AtomicFileTest, SaysWhichFolderCannotBeMade) {
  file("in_the_way", "");
  EXPECT_THAT(error_of(ErrorCode::io, [&] { AtomicFile out(folder_ / "in_the_way" / "x" / "out.csv"); }),
              AllOf(HasSubstr("in_the_way/x"), HasSubstr(std::strerror(ENOTDIR)), HasSubstr("expected a folder")));
}

TEST_F(AtomicFileTest, SaysWhereTheDiskIsFull) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  AtomicFile out(folder_ / "out.csv");
  out.write("x");
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  for (const auto& open_file : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (fs::read_symlink(open_file, gone) != fs::canonical(folder_ / "out.csv.tmp")) continue;
    ASSERT_GE(::dup2(full, std::stoi(open_file.path().filename().string())), 0);
  }
  ::close(full);
  EXPECT_THAT(error_of(ErrorCode::io, [&] { out.commit(); }),
              AllOf(HasSubstr("out.csv.tmp"), HasSubstr(std::strerror(ENOSPC)), HasSubstr("free some space")));
  EXPECT_FALSE(fs::exists(folder_ / "out.csv"));
}

TEST_F(AtomicFileTest, RemovesTheTemporaryFileWhenTheNameCannotBeTaken) {
  AtomicFile out(folder_ / "out.csv");
  fs::create_directories(folder_ / "out.csv" / "taken");
  EXPECT_THAT(error_of(ErrorCode::io, [&] { out.commit(); }), HasSubstr("out.csv: cannot rename"));
  EXPECT_FALSE(fs::exists(folder_ / "out.csv.tmp"));
}

TEST_F(AtomicFileTest, TakesNothingAfterCommit) {
  AtomicFile out(folder_ / "out.csv");
  out.commit();
  error_of(ErrorCode::internal, [&] { out.write("more"); });
  error_of(ErrorCode::internal, [&] { out.commit(); });
}

TEST_F(ReadFile, GivesEveryByte) {
  const std::string bytes("a\0b\r\n\xFF", 6);
  EXPECT_EQ(read_file(file("x", bytes)), bytes);
  EXPECT_EQ(read_file(file("empty", "")), "");
}

TEST_F(ReadFile, ReadsAPipeToItsEnd) {
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string bytes(300000, 'x');  // more than a pipe or one buffer holds
  std::thread writer([&] { std::ofstream(pipe) << bytes; });
  EXPECT_EQ(read_file(pipe), bytes);
  writer.join();
}

TEST_F(ReadFile, StopsAtItsLimit) {
  EXPECT_EQ(read_file(file("five", "12345"), 5), "12345");
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { (void)read_file(file("six", "123456"), 5); }),
              AllOf(HasSubstr("six: 6 bytes"), HasSubstr("expected at most 5")));
  // A file that does not tell its size.
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { (void)read_file("/proc/self/status", 5); }), HasSubstr("at most 5"));
}

TEST_F(ReadFile, NamesWhatIsNotThere) {
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)read_file(folder_ / "nothing"); }),
              AllOf(HasSubstr("nothing"), HasSubstr(std::strerror(ENOENT))));
  file("plain", "");
  error_of(ErrorCode::not_found, [&] { (void)read_file(folder_ / "plain" / "below"); });
}

TEST_F(ReadFile, RefusesAFolder) {
  EXPECT_THAT(error_of(ErrorCode::io, [&] { (void)read_file(folder_); }), HasSubstr("expected a file"));
}

TEST_F(ReadFile, SaysThatItMayNot) {
  const auto path = file("secret", "x");
  fs::permissions(path, fs::perms::none);
  constexpr uid_t kNobody = 65534;
  const uid_t user = ::geteuid();
  if (user == 0 && ::seteuid(kNobody) != 0) GTEST_SKIP() << "root may read everything, and cannot be anyone else here";
  EXPECT_THAT(error_of(ErrorCode::io, [&] { (void)read_file(path); }),
              AllOf(HasSubstr("secret"), HasSubstr(std::strerror(EACCES)), HasSubstr("permissions")));
  ASSERT_EQ(::seteuid(user), 0);
}

TEST_F(FileHash, IsXxh3OfTheBytes) {
  // Known values of XXH3_128bits with seed 0.
  EXPECT_EQ(file_hash(file("empty", "")), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(file_hash(file("abc", "abc")), "06b05ab6733a618578af5f94892f3950");
}

TEST_F(FileHash, SeesOneByteBeyondTheFirstBlock) {
  std::string bytes(std::size_t{3} << 20, 'x');
  const auto before = file_hash(file("a", bytes));
  EXPECT_EQ(file_hash(file("b", bytes)), before);
  bytes.back() = 'y';
  EXPECT_NE(file_hash(file("c", bytes)), before);
}

TEST_F(FileHash, NamesWhatIsNotThere) {
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)file_hash(folder_ / "nothing"); }), HasSubstr("nothing"));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { (void)file_hash(folder_); }), HasSubstr("expected a file"));
}

}  // namespace
}  // namespace whimbrel
