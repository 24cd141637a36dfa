// Pictures, data sets and requests for the integration tests.
#pragma once

#include <filesystem>
#include <string>

#include "atelier/v1/stylize.pb.h"
#include "atelier/v1/training.pb.h"

namespace atelier::test {

// A picture with shapes and some noise, the same for the same arguments. `extension`: ".jpg",
// ".png" or ".webp".
std::string MakePicture(int width, int height, int seed, const std::string& extension = ".jpg");

// Fills `folder` with `count` JPEG files of 96 x 80 pixels.
void MakeDataset(const std::filesystem::path& folder, int count, int seed);

// A shipped-models folder with one random-weight model, "random".
std::filesystem::path MakeShippedModels(const std::filesystem::path& folder);

v1::StylizeRequest StylizeRequestFor(const std::string& model, std::string image);

// The smallest training there is: faststyle, lite, 64 px, batch 1, on the data sets "content" and
// "style".
v1::CreateJobRequest TinyJob(const std::string& job_id, const std::string& output_model,
                             std::uint64_t steps);
// Another family for it, without what faststyle alone knows.
void UseFamily(v1::TrainSpec& train, const std::string& family);

}  // namespace atelier::test
