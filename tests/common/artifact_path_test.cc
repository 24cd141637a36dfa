#include "common/artifact_path.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/errors.h"

namespace atelier {
namespace {

TEST(ArtifactPathTest, RelativePathsOfPlainNamesArePassed) {
  for (const char* path :
       {"stats.jsonl", "samples/step-100.jpg", "checkpoints/step-200/state.safetensors",
        "events.out.tfevents.1790000000.000042", "a b/c"}) {
    EXPECT_TRUE(CheckArtifactPath("path", path).ok()) << path;
  }
}

TEST(ArtifactPathTest, NothingElseIs) {
  for (const std::string& path :
       {std::string(), std::string("/etc/passwd"), std::string("../x"), std::string("a/../../x"),
        std::string("a/./x"), std::string("."), std::string(".."), std::string("a//b"),
        std::string("a/"), std::string(".hidden"), std::string("a/.x.tmp"), std::string("a\nb"),
        std::string("a\0b", 3), std::string("\xc3\xa4"), std::string(513, 'a')}) {
    EXPECT_EQ(FieldOf(CheckArtifactPath("path", path)), "path") << path;
  }
}

TEST(ArtifactPathTest, NumbersAreOrderedByTheirValue) {
  const std::vector<std::string> ordered = {"attempts/9/log.txt",
                                            "attempts/10/log.txt",
                                            "samples/step-0.jpg",
                                            "samples/step-9.jpg",
                                            "samples/step-10.jpg",
                                            "samples/step-10.jpg.x",
                                            "stats.jsonl",
                                            "step-01",
                                            "step-1",
                                            "step-99999999999999999999",
                                            "step-100000000000000000000"};
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    for (std::size_t k = 0; k < ordered.size(); ++k) {
      EXPECT_EQ(ArtifactPathLess()(ordered[i], ordered[k]), i < k)
          << ordered[i] << " " << ordered[k];
    }
  }
}

}  // namespace
}  // namespace atelier
