// What a job may not say together, and what would mean nothing in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "atelier/v1/training.pb.h"
#include "common/errors.h"
#include "common/family.h"
#include "common/option_names.h"
#include "common/rpc/proto_json.h"
#include "common/train_config.h"
#include "common/train_settings.h"
#include "tests/common/train_specs.h"

namespace atelier {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<TrainConfig> ParseFamilyWith(const char* family, const Json& change) {
  Json json = MinimalOf(*FindFamily(family));
  json.merge_patch(change);
  return ParseTrainConfig(json.dump());
}

TEST(TrainContradictionsTest, WhatContradictsIsRefusedByName) {
  struct Case {
    const char* family;
    Json change;
    const char* field;
  };
  for (const Case& c :
       {Case{"cyclegan", {{"cut", {{"patches", 16}}}}, "train.cut"},
        Case{"dcgan", {{"tier", "lite"}}, "train.tier"},
        Case{"dcgan", {{"data", {{"content", "a"}, {"style", "b"}}}}, "train.data.style"},
        Case{"cut", {{"data", {{"content", "a"}}}}, "train.data.style"},
        Case{"wgan", {{"gan", {{"clip_weights", 0.01}}}}, "train.gan.clip_weights"},
        Case{"wgan", {{"gan", {{"norm", "batch"}}}}, "train.gan.norm"},
        Case{"dcgan", {{"image_size", 96}}, "train.image_size"},
        Case{"dcgan",
             {{"image_size", 64}, {"pattern", {{"architecture", "classic"}}}},
             "train.image_size"},
        Case{"dcgan", {{"pattern", {{"condition", "words"}}}}, "train.pattern.condition"},
        Case{"cgan", {{"pattern", {{"condition", "song"}}}}, "train.pattern.condition"},
        Case{"cyclegan", {{"image_size", 80}}, "train.image_size"},
        Case{"cyclegan", {{"augment", {{"adaptive", true}}}}, "train.augment.adaptive"},
        Case{"cyclegan", {{"gan", {{"steps", 2}}}}, "train.gan.steps"},
        Case{"dcgan", {{"gan", {{"discriminator", "pixel"}}}}, "train.gan.discriminator"},
        Case{"cyclegan", {{"epochs", 2}}, "train.epochs"},
        Case{"cut", {{"tier", "lite"}}, "train.tier"},
        Case{"cut", {{"generator", "unet-256"}}, "train.generator"},
        Case{"faststyle", {{"generator", "resnet-7"}}, "train.generator"},
        Case{"faststyle", {{"base_channels", 32}}, "train.base_channels"},
        Case{"cyclegan", {{"gan", {{"loss", "best"}}}}, "train.gan.loss"},
        Case{"multistyle", {{"tier", "quality"}}, "train.tier"},
        Case{"multistyle", {{"generator", "unet-64"}}, "train.generator"},
        Case{"reference", {{"base_channels", 32}}, "train.base_channels"},
        Case{"multistyle", {{"multistyle", {{"mix_share", 1.5}}}}, "train.multistyle.mix_share"},
        Case{"reference", {{"faststyle", {{"style_weight", 1}}}}, "train.faststyle"},
        Case{"faststyle", {{"multistyle", {{"mix_share", 0.5}}}}, "train.multistyle"},
        Case{"reference",
             {{"losses", {{"total_variation_weight", 1}}}},
             "train.losses.total_variation_weight"},
        Case{"multistyle", {{"generator_options", {{"norm", "batch"}}}}, "train.generator_options"},
        Case{"gatys", {{"evaluate", {{"every_steps", 5}}}}, "train.evaluate"},
        Case{"gatys", {{"tier", "lite"}}, "train.tier"},
        Case{"gatys", {{"gan", {{"loss", "hinge"}}}}, "train.gan"},
        Case{"gatys", {{"augment", {{"flip", true}}}}, "train.augment"},
        Case{"gatys", {{"ema_decay", 0.9}}, "train.ema_decay"},
        Case{"gatys", {{"accumulate", 2}}, "train.accumulate"},
        Case{"gatys", {{"init_from", "oil"}}, "train.init_from"},
        Case{"gatys", {{"precision", "bf16"}}, "train.precision"},
        Case{"gatys", {{"gatys", {{"iterations", 501}}}}, "train.gatys.iterations"},
        Case{"cyclegan", {{"evaluate", {{"patience", 3}}}}, "train.evaluate.every_steps"},
        Case{"cyclegan",
             {{"evaluate", {{"every_steps", 1}, {"every_epochs", 1}}}},
             "train.evaluate.every_epochs"},
        Case{"dcgan",
             {{"evaluate", {{"every_steps", 1}, {"metrics", {"ssim"}}}}},
             "train.evaluate.metrics"},
        Case{"pix2pix",
             {{"evaluate", {{"every_steps", 1}, {"metrics", {"style_gain"}}}}},
             "train.evaluate.metrics"},
        Case{"dcgan",
             {{"evaluate", {{"every_steps", 1}, {"metrics", {"recall", "recall"}}}}},
             "train.evaluate.metrics"},
        Case{"dcgan",
             {{"evaluate", {{"every_steps", 1}, {"metrics", {"frechet_distance"}}}}},
             "train.evaluate.pictures"},
        Case{"dcgan",
             {{"evaluate", {{"every_steps", 1}, {"best_by", "recall"}}}},
             "train.evaluate.best_by"},
        Case{"dcgan",
             {{"evaluate", {{"every_steps", 1}, {"min_delta", 0.1}}}},
             "train.evaluate.min_delta"},
        Case{"dcgan",
             {{"evaluate", {{"every_steps", 1}, {"held_out", 0.6}}}},
             "train.evaluate.held_out"},
        Case{"dcgan", {{"schedule", {{"kind", "plateau"}}}}, "train.schedule.kind"},
        Case{"faststyle", {{"resample", {{"strength", 1}}}}, "train.resample"},
        Case{"dcgan", {{"resample", {{"window", 9}}}}, "train.resample.strength"},
        Case{"vaegan", {{"losses", {{"regularization_weight", 1}}}}, "train.losses"},
        Case{"vaegan", {{"vaegan", {{"cycle_weight", 1}}}}, "train.vaegan.cycle_weight"},
        Case{"vaegan", {{"vaegan", {{"cycle_kl_weight", 1}}}}, "train.vaegan.cycle_kl_weight"},
        Case{"vaegan-pictures", {{"pattern", {{"latent_size", 8}}}}, "train.pattern"},
        Case{"vaegan-pictures", {{"cyclegan", {{"cycle_weight", 8}}}}, "train.cyclegan"},
        Case{"vaegan-pictures", {{"tier", "lite"}}, "train.tier"},
        Case{"vaegan-pictures", {{"generator", "resnet-6"}}, "train.generator"},
        Case{"vaegan-pictures",
             {{"generator_options", {{"norm", "batch"}}}},
             "train.generator_options"},
        Case{"vaegan-pictures", {{"image_size", 80}}, "train.image_size"},
        Case{"vaegan-pictures", {{"gan", {{"steps", 2}}}}, "train.gan.steps"},
        Case{"vaegan-pictures", {{"data", {{"content", "a"}}}}, "train.data.style"},
        Case{"vaegan-pictures",
             {{"losses", {{"regularization_weight", 1}}}},
             "train.losses.regularization_weight"},
        Case{"dcgan", {{"losses", {{"structure_weight", 1}}}}, "train.losses.structure_weight"},
        Case{"pix2pix", {{"losses", {{"statistics_weight", 1}}}}, "train.losses.statistics_weight"},
        Case{"cut",
             {{"generator_options", {{"resize_convolution", true}}}},
             "train.generator_options.resize_convolution"},
        Case{"faststyle",
             {{"generator_options", {{"antialias", true}}}},
             "train.generator_options.antialias"},
        Case{"cyclegan",
             {{"generator_options", {{"multi_level", true}}}},
             "train.generator_options.multi_level"},
        Case{"cyclegan",
             {{"generator_options", {{"multi_level", true}}},
              {"gan", {{"discriminator", "multi_scale"}}}},
             "train.gan.pool_size"},
        Case{"cyclegan", {{"gan", {{"scales", 3}}}}, "train.gan.scales"},
        Case{"cyclegan",
             {{"image_size", 64}, {"gan", {{"scales", 3}, {"discriminator", "multi_scale"}}}},
             "train.gan.scales"},
        Case{"cyclegan",
             {{"gan", {{"norm", "layer"}, {"discriminator", "projected"}}}},
             "train.gan.norm"},
        Case{"cyclegan",
             {{"gan", {{"antialias", true}, {"discriminator", "pixel"}}}},
             "train.gan.antialias"},
        Case{"pix2pix", {{"gan", {{"discriminator", "projected"}}}}, "train.gan.discriminator"},
        Case{"hydragan", Json::object(), "train.family"}}) {
    const Family* family = FindFamily(c.family);
    Json json = family != nullptr ? MinimalOf(*family) : Json({{"family", c.family}, {"steps", 3}});
    json.update(c.change);
    const auto config = ParseTrainConfig(json.dump());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << c.field;
    EXPECT_EQ(FieldOf(config.status()), c.field) << config.status();
  }
  const auto unknown = ParseTrainConfig(R"({"family":"cyclegan","steps":1,"gan":{"loss":"best"},
                           "data":{"content":"a","style":"b"}})");
  EXPECT_THAT(std::string(unknown.status().message()), testing::HasSubstr("least_squares"));
}

// `allowed`: a part of the sentence that says what would be right.
struct Idle {
  const char* family;
  Json change;
  const char* field;
  const char* allowed;
};

void ExpectRefused(const std::vector<Idle>& cases) {
  for (const Idle& c : cases) {
    const auto config = ParseFamilyWith(c.family, c.change);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << c.change;
    EXPECT_EQ(FieldOf(config.status()), std::string("train.") + c.field) << config.status();
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(c.allowed));
  }
}

TEST(TrainContradictionsTest, NumbersOfAnotherScheduleAreRefused) {
  ExpectRefused(
      {{"cyclegan",
        {{"schedule", {{"kind", "constant"}, {"decay_from", 0.5}}}},
        "schedule.decay_from",
        R"("linear" and "cosine", not "constant")"},
       {"dcgan", {{"schedule", {{"decay_from", 0}}}}, "schedule.decay_from", R"("linear")"},
       {"dcgan",
        {{"evaluate", {{"every_steps", 1}}},
         {"schedule", {{"kind", "plateau"}, {"decay_from", 0.2}}}},
        "schedule.decay_from",
        R"(not "plateau")"},
       {"dcgan", {{"schedule", {{"final_share", 0.1}}}}, "schedule.final_share", R"("plateau")"},
       {"cut", {{"schedule", {{"plateau_factor", 0.5}}}}, "schedule.plateau_factor", "plateau"},
       {"cut", {{"schedule", {{"plateauPatience", 0}}}}, "schedule.plateau_patience", "plateau"},
       {"cut",
        {{"schedule", {{"kind", "cosine"}, {"plateau_threshold", 0.5}}}},
        "schedule.plateau_threshold",
        R"("plateau", not "cosine")"},
       {"cut", {{"schedule", {{"warmup_steps", 30}}}}, "schedule.warmup_steps", "below steps, 30"},
       {"gatys", {{"schedule", {{"final_share", 0.1}}}}, "schedule.final_share", "linear"}});
  EXPECT_TRUE(ParseFamilyWith("cut", {{"schedule", {{"warmup_steps", 29}}}}).ok());
  // The steps of epochs are not known here.
  EXPECT_TRUE(ParseFamilyWith(
                  "cut", {{"steps", nullptr}, {"epochs", 1}, {"schedule", {{"warmup_steps", 99}}}})
                  .ok());
  EXPECT_TRUE(
      ParseFamilyWith("cut", {{"schedule", {{"kind", "cosine"}, {"decay_from", 0.2}}}}).ok());
  EXPECT_TRUE(ParseFamilyWith("dcgan", {{"evaluate", {{"every_steps", 1}}},
                                        {"schedule", {{"kind", "plateau"}, {"final_share", 0.1}}}})
                  .ok());
}

TEST(TrainContradictionsTest, OptionsOfTheAdversaryThatMeanNothingAreRefused) {
  ExpectRefused(
      {{"wgan", {{"gan", {{"loss", "vanilla"}}}}, "gan.loss", R"(must be "wasserstein")"},
       {"dcgan", {{"gan", {{"clip_weights", 0.01}}}}, "gan.clip_weights", R"("wasserstein")"},
       {"dcgan",
        {{"gan", {{"loss", "wasserstein"}, {"clip_weights", 0.01}, {"spectral_norm", true}}}},
        "gan.clip_weights",
        "gan.spectral_norm"},
       {"faststyle", {{"gan", {{"weight", 0}}}}, "gan.weight", "faststyle.adversarial_weight"},
       {"multistyle", {{"gan", {{"weight", 2}}}}, "gan.weight", "faststyle.adversarial_weight"},
       {"cgan", {{"gan", {{"pool_size", 50}}}}, "gan.pool_size", "cgan"},
       {"dcgan",
        {{"image_size", 56},
         {"pattern", {{"architecture", "classic"}}},
         {"gan", {{"norm", "none"}}}},
        "gan.norm",
        R"("dcgan")"},
       {"wgan",
        {{"augment", {{"differentiable", true}, {"adaptive", true}}}},
        "augment.adaptive",
        R"("hinge")"},
       {"cyclegan", {{"augment", {{"border", "nearest"}}}}, "augment.border", "augment.rotation"}});
  EXPECT_TRUE(
      ParseFamilyWith("wgan", {{"gan", {{"clip_weights", 0.01}, {"gradient_penalty_weight", 0}}}})
          .ok());
  EXPECT_TRUE(ParseFamilyWith("wgan", {{"gan", {{"loss", "wasserstein"}}}}).ok());
  EXPECT_TRUE(
      ParseFamilyWith("cgan", {{"augment", {{"differentiable", true}, {"adaptive", true}}}}).ok());
  EXPECT_TRUE(
      ParseFamilyWith("cut", {{"augment", {{"border", "nearest"}, {"rotation", 10}}}}).ok());
  // The classic recipe has no norm that a penalty could contradict.
  EXPECT_TRUE(ParseFamilyWith("dcgan", {{"image_size", 56},
                                        {"pattern", {{"architecture", "classic"}}},
                                        {"gan", {{"gradient_penalty_weight", 10}}}})
                  .ok());
}

TEST(TrainContradictionsTest, OptionsOfAFamilyThatMeanNothingAreRefused) {
  const char* const nce = "cut.nce_weight";
  ExpectRefused(
      {{"cut", {{"cut", {{"nce_weight", 0}, {"patches", 16}}}}, "cut.patches", nce},
       {"cut", {{"cut", {{"nce_weight", 0}, {"layers", {0, 4}}}}}, "cut.layers", nce},
       {"cut", {{"cut", {{"nce_weight", 0}, {"temperature", 1}}}}, "cut.temperature", nce},
       {"cut", {{"cut", {{"nce_weight", 0}, {"identity", true}}}}, "cut.identity", nce},
       {"cut", {{"cut", {{"nceWeight", 0}, {"fast", true}}}}, "cut.fast", nce},
       {"cut", {{"cut", {{"layers", Json::array()}}}}, "cut.layers", "1 to 8"},
       {"cyclegan",
        {{"cyclegan", {{"cycle_weight", 0}, {"identity_weight", 1}}}},
        "cyclegan.identity_weight",
        "cyclegan.cycle_weight"},
       {"faststyle", {{"faststyle", {{"style_size", 128}}}}, "faststyle.style_size", "256"},
       {"dcgan", {{"pattern", {{"condition", "labels"}}}}, "pattern.condition", R"("cgan")"}});
  EXPECT_TRUE(ParseFamilyWith("cut", {{"cut", {{"nce_weight", 0}}}}).ok());
  EXPECT_TRUE(ParseFamilyWith("cut", {{"cut", {{"fast", true}, {"patches", 16}}}}).ok());
  EXPECT_TRUE(ParseFamilyWith("cyclegan", {{"cyclegan", {{"cycle_weight", 0}}}}).ok());
}

TEST(TrainContradictionsTest, ATierBesideAGeneratorIsRefused) {
  ExpectRefused({{"faststyle", {{"tier", "base"}, {"generator", "resnet-6"}}, "tier", "resnet-6"},
                 {"cyclegan", {{"tier", "lite"}, {"generator", "unet-64"}}, "tier", "leave out"},
                 {"dcgan", {{"generator", "resnet-6"}}, "generator", "pattern.architecture"},
                 {"pix2pix", {{"generator", "unet-32"}}, "generator", "unet-64"}});
  // "pix2pix" has a generator by default, which a tier takes the place of.
  const auto config = ParseFamilyWith("pix2pix", {{"tier", "base"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->tier, "base");
  EXPECT_EQ(config->generator, "");
}

TEST(TrainContradictionsTest, RefusalsTellTheFamiliesThatHaveTheOption) {
  for (const auto& [family, change, families] :
       {std::tuple{"pix2pix", Json{{"losses", {{"statistics_weight", 1}}}},
                   R"(the families "cyclegan", "cut" and "vaegan-pictures", not "pix2pix")"},
        {"faststyle",
         {{"tier", "base"}, {"generator_options", {{"multi_level", true}}}},
         R"("cyclegan" and "cut", not "faststyle")"},
        {"vaegan", {{"losses", {{"perceptual_weight", 1}}}}, R"("dcgan", "wgan", "cgan")"},
        {"cyclegan", {{"cut", {{"patches", 1}}}}, R"(the family "cut", not "cyclegan")"},
        {"gatys", {{"gan", {{"steps", 1}}}}, R"(all families but the family "gatys")"},
        {"cut", {{"gan", {{"steps", 2}}}}, R"("dcgan", "wgan" and "cgan", not "cut")"},
        {"cut", {{"gan", {{"mode_seeking_weight", 2}}}}, R"("dcgan", "wgan" and "cgan")"}}) {
    EXPECT_THAT(std::string(ParseFamilyWith(family, change).status().message()),
                HasSubstr(families));
  }
}

// A field that the proto cannot tell from one left out is at its zero when it is.
TEST(TrainContradictionsTest, MessagesThatSayNothingAreNeverAtFault) {
  for (const Family& family : Families()) {
    v1::TrainSpec spec;
    ASSERT_TRUE(FromJson(MinimalOf(family).dump(), spec).ok());
    std::vector<std::string> messages(family.options.begin(), family.options.end());
    if (!family.optimizes_pixels) {
      messages.insert(messages.end(), {"gan", "schedule", "augment"});
    }
    for (const std::string& name : messages) {
      if (name != "resample") {  // which wants a strength
        spec.GetReflection()->MutableMessage(&spec, spec.GetDescriptor()->FindFieldByName(name));
      }
    }
    const auto config = ParseTrainConfig(ToJson(spec));
    ASSERT_TRUE(config.ok()) << family.name << ": " << config.status();
    EXPECT_EQ(TrainSettings(*config), TrainSettings(*ParseTrainConfig(MinimalOf(family).dump())))
        << family.name;
  }
}

TEST(TrainContradictionsTest, WhatAJobSaysIsReadBackFromItsProto) {
  for (const auto& [family, change] :
       {std::pair{"cut", Json{{"cut", {{"nce_weight", 0.5}, {"layers", {0, 4}}}},
                              {"generator", "cut-resnet-6"},
                              {"schedule", {{"kind", "constant"}, {"warmup_steps", 3}}}}},
        {"cut", {{"cut", {{"nce_weight", 0}}}}},
        {"wgan", {{"gan", {{"clip_weights", 0.01}, {"gradient_penalty_weight", 0}}}}},
        {"cgan",
         {{"image_size", 56}, {"pattern", {{"architecture", "classic"}, {"condition", "words"}}}}},
        {"faststyle", {{"tier", "base"}, {"data", {{"upscale", true}}}}}}) {
    const auto said = ParseFamilyWith(family, change);
    ASSERT_TRUE(said.ok()) << said.status();
    Json json = MinimalOf(*FindFamily(family));
    json.merge_patch(change);
    v1::TrainSpec spec;
    ASSERT_TRUE(FromJson(json.dump(), spec).ok());
    const auto read = ParseTrainConfig(ToJson(spec));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(TrainSettings(*read), TrainSettings(*said));
  }
}

}  // namespace
}  // namespace atelier
