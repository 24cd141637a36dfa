// Captions that nobody has to write: garment type, colour and motif of a picture as a few words.
//
// The type is the name of the picture's folder; colour and motif are measured. The measures are
// simple and say only what they can see: a photograph with several garments has the colour of what
// fills its middle, cloth in folds often counts as "other", and a motif finer than the pictures'
// resolution does not exist. Pure functions, thread-safe.
#pragma once

#include <torch/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace atelier::train {

// Repeated structure in the middle of a picture.
enum class Motif { kPlain, kStriped, kChecked, kDotted, kOther };

// rgb: uint8 [H, W, 3], at least 16 pixels a side. The most frequent colour in the middle of the
// picture, leaving out a background that is uniform along the border where something else fills the
// middle: one of the eleven basic colour terms (Berlin and Kay 1969: "black", "white", "grey",
// "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown") or "beige".
std::string ColorName(const torch::Tensor& rgb);

// rgb as above. Told apart by the gradients' directions (one: stripes; two at right angles: checks;
// all: dots) in the channel that varies most, provided that its autocorrelation shows a period: at
// most a quarter of the picture's side and, for checks and dots, about 8 pixels or more. Sets
// should be trained at a size at which their motifs are wider.
Motif MotifOf(const torch::Tensor& rgb);

// "plain", "striped", "checked", "dotted"; empty for kOther, of which there is nothing to say.
std::string_view MotifName(Motif motif);

// Colour, motif and the words of the type, as people say them: {"blue", "striped", "dress"}.
std::vector<std::string> CaptionOf(std::string_view type, const torch::Tensor& rgb);

}  // namespace atelier::train
