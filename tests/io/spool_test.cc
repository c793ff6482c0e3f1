#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "io/temp_folder.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using SpoolTest = InFolder;

std::vector<float> read(const Spool& spool, std::int64_t position, std::size_t count) {
  std::vector<float> values(count);
  spool.read(position, values);
  return values;
}

TEST_F(SpoolTest, GivesBackWhatWasAppendedByPosition) {
  Spool spool(folder_);
  EXPECT_EQ(spool.append(std::vector<float>{1, 2, 3}), 0);
  EXPECT_EQ(spool.append(std::vector<float>{}), 3);
  EXPECT_EQ(spool.append(std::vector<float>{4, 5}), 3);
  EXPECT_THAT(read(spool, 3, 2), ElementsAre(4, 5));
  EXPECT_THAT(read(spool, 1, 3), ElementsAre(2, 3, 4));
  EXPECT_THAT(read(spool, 5, 0), ElementsAre());
}

TEST_F(SpoolTest, HasNoNameInItsFolder) {
  Spool spool(folder_);
  spool.append(std::vector<float>(1000));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(SpoolTest, KeepsPiecesWholeThatThreadsAppendAtOnce) {
  constexpr int kThreads = 4, kPieces = 200;
  constexpr std::size_t kPiece = 257;
  Spool spool(folder_);
  std::vector<std::vector<std::int64_t>> positions(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPieces; ++i) {
        const std::vector<float> piece(kPiece, static_cast<float>(t * kPieces + i));
        const auto position = spool.append(piece);
        positions[static_cast<std::size_t>(t)].push_back(position);
        EXPECT_EQ(read(spool, position, kPiece), piece);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<std::int64_t> all;
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kPieces; ++i) {
      const auto position = positions[static_cast<std::size_t>(t)][static_cast<std::size_t>(i)];
      all.push_back(position);
      EXPECT_THAT(read(spool, position, kPiece), Each(static_cast<float>(t * kPieces + i)));
    }
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<std::int64_t>(i * kPiece));
}

TEST_F(SpoolTest, RefusesToReadBeyondWhatWasAppended) {
  Spool spool(folder_);
  spool.append(std::vector<float>{1, 2, 3});
  EXPECT_THAT(error_of(ErrorCode::internal, [&] { (void)read(spool, 2, 2); }),
              AllOf(HasSubstr("at 2 up to 4"), HasSubstr("3 floats")));
}

TEST_F(SpoolTest, NamesAFolderThatIsNotThere) {
  EXPECT_THAT(
      error_of(ErrorCode::io, [&] { Spool spool(folder_ / "nothing"); }),
      AllOf(HasSubstr("nothing"), HasSubstr("cannot create the temporary file"), HasSubstr("No such file or directory")));
}

}  // namespace
}  // namespace whimbrel
