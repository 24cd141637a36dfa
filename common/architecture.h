// Which network a model is, as plain data: what model.json says of it, and what its weights must
// fit.
#pragma once

#include <array>
#include <string>

namespace atelier {

// The generators that a job chooses by name; models::ArchitectureOf says which networks they are.
// The first one has one width only.
inline constexpr std::array<const char*, 9> kGeneratorNames = {
    "lite",    "resnet-6", "resnet-9", "cut-resnet-6", "cut-resnet-9",
    "unet-64", "unet-128", "unet-256", "transformer"};

// `generator`:
//   "lite"             nn::LiteGenerator with its default options
//   "resnet-<blocks>"  nn::ResnetGenerator: CycleGAN, pix2pix, CUT
//   "unet-<2^downs>"   nn::UnetGenerator: pix2pix; "unet-128", "unet-256"
//   "transformer"      nn::TransformerNet: pytorch/examples fast_neural_style
//   "dcgan"            nn::DcganGenerator: pytorch/examples dcgan; noise to pattern
//   "multistyle"       nn::MultistyleGenerator with its default options, a style for each class
//   "reference"        nn::ReferenceGenerator with its default options
//   "shared-latent"    nn::SharedLatentGenerator with its default numbers of blocks: both domains
//   "gatys"            nn::GatysTarget: no network, what pixels are optimised towards
//   "torchscript"      models::TorchScriptGenerator: a user's program, of which nothing else is
//   told
struct Architecture {
  std::string generator;
  int base_channels = 0;  // of the layer next to the picture's side (ngf); 0 with "lite"
  // "instance", "batch", "layer" or "none", as nn::NormKind; "resnet-*" and "unet-*" only.
  std::string norm;
  // nn::ResnetGenerator::Options of the same names; "resnet-*" only.
  bool antialias = false;
  bool resize_convolution = false;
  bool multi_level = false;
  // Its inner convolutions are nn::QuantizedConvolution; "resnet-*" and "unet-*" only.
  bool int8 = false;
  int latent_size = 0;  // numbers of noise; noise to pattern only
  // Pixels a side. Noise to pattern: of the result; "reference": of the pictures it took styles
  // from while it learnt, to which larger style pictures are shrunk. Otherwise 0.
  int image_size = 0;

  friend bool operator==(const Architecture&, const Architecture&) = default;
};

}  // namespace atelier
