#include "engines/common.h"

#include <gtest/gtest.h>

#include <functional>
#include <new>

namespace whimbrel::engines {
namespace {

ErrorCode code_of(const std::function<void()>& f, std::string& words) {
  try {
    translated("engine: b0.onnx", f);
  } catch (const Error& error) {
    words = error.what();
    return error.code();
  }
  return ErrorCode::internal;
}

TEST(Translated, WhatAnEngineThrowsIsOneErrorOfOneLine) {
  std::string words;
  EXPECT_EQ(code_of([] { throw std::bad_alloc(); }, words), ErrorCode::engine);
  EXPECT_EQ(words, "engine: b0.onnx: std::bad_alloc");
  EXPECT_EQ(code_of([] { throw std::runtime_error("no\n  memory\n"); }, words), ErrorCode::engine);
  EXPECT_EQ(words, "engine: b0.onnx: no memory");
}

TEST(Translated, OurOwnErrorsStayWhatTheyAre) {
  std::string words;
  EXPECT_EQ(code_of([] { throw Error(ErrorCode::bad_manifest, "label 3"); }, words), ErrorCode::bad_manifest);
  EXPECT_EQ(words, "label 3");
}

}  // namespace
}  // namespace whimbrel::engines
