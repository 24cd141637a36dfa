// What pattern networks are told: words as tokens, and labels, words and attributes as codes.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/worker/nn/numbers.h"
#include "worker/nn/condition_encoder.h"
#include "worker/nn/tokenizer.h"

namespace atelier::nn {
namespace {

TEST(Tokenizer, KeepsTheMostFrequentWordsAndKnowsWhatIsUnknown) {
  const auto tokenizer = Tokenizer::FromCaptions(
      {"Blue dress, floral", "a RED dress!", "red shirt", "blue-blue blue shirt dress"}, 4);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(tokenizer->words(), (std::vector<std::string>{"dress", "blue", "red", "shirt"}));
  EXPECT_EQ(tokenizer->entries(), 6);
  const torch::Tensor tokens = tokenizer->Encode({"shirt  Blue zebra", ""});
  EXPECT_EQ(tokens.sizes(), torch::IntArrayRef({2, Tokenizer::kMaxTokens}));
  EXPECT_TRUE(torch::equal(tokens[0].slice(0, 0, 4), torch::tensor({5, 3, 1, 0}, torch::kLong)));
  EXPECT_EQ(tokens[1].abs().max().item<std::int64_t>(), Tokenizer::kPadding);
  std::string many;
  for (int i = 0; i < 40; ++i) {
    many += "red ";
  }
  EXPECT_EQ(tokenizer->Encode({many}).sizes(), torch::IntArrayRef({1, Tokenizer::kMaxTokens}));
}

TEST(Tokenizer, RefusesVocabulariesThatAreNone) {
  EXPECT_TRUE(Tokenizer::Create({"red", "blå", "60s"}).ok());
  for (const auto& words : std::vector<std::vector<std::string>>{
           {}, {"red", "red"}, {"Red"}, {"dark red"}, {""}, {"red!"}}) {
    EXPECT_EQ(Tokenizer::Create(words).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(Tokenizer::FromCaptions({"", "  !?"}).ok());
}

TEST(ConditionEncoder, TakesWordsAndAttributesInOneSpace) {
  const Tokenizer tokenizer = Tokenizer::Create({"blue", "dress", "floral"}).value();
  ConditionEncoder encoder(
      ConditionOptions{.entries = tokenizer.entries(), .size = 6, .hidden = 8});
  encoder->InitializeWeights(Random(1));
  const torch::Tensor words = encoder(tokenizer.Encode({"dress blue", "floral", ""}));
  EXPECT_EQ(words.sizes(), torch::IntArrayRef({3, 6}));
  const torch::Tensor attributes = encoder(tokenizer.EncodeAttributes({"blue", "dress"}).value());
  EXPECT_TRUE(torch::allclose(words[0], attributes[0]));
  EXPECT_TRUE(torch::isfinite(words[2]).all().item<bool>());
  EXPECT_EQ(tokenizer.EncodeAttributes({"green"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ConditionEncoder, AddsWhatHoldsIndependently) {
  const Tokenizer tokenizer = Tokenizer::Create({"blue", "dress"}).value();
  ConditionEncoder encoder(
      ConditionOptions{.entries = tokenizer.entries(), .size = 6, .sum = true});
  encoder->InitializeWeights(Random(1));
  const torch::Tensor alone = encoder(tokenizer.Encode({"blue", "dress"}));
  EXPECT_TRUE(torch::allclose(encoder(tokenizer.Encode({"blue dress"}))[0], alone.sum(0)));
  EXPECT_TRUE(torch::allclose(encoder(tokenizer.EncodeAttributes({"dress", "blue"}).value())[0],
                              alone.sum(0)));
}

TEST(ConditionEncoder, RefusesALabelOutOfRange) {
  ConditionEncoder encoder(ConditionOptions{.entries = 3});
  EXPECT_THROW(encoder(torch::tensor({3}, torch::kLong)), c10::Error);
  EXPECT_THROW(encoder(torch::tensor({-1}, torch::kLong)), c10::Error);
}

}  // namespace
}  // namespace atelier::nn
