// Where the style of a picture comes from: a model by name, a mixture of the styles that a model
// knows, or another picture.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"
#include "atelier/v1/stylize.pb.h"
#include "client/api/client.h"

namespace atelier::cli {

struct StyleChoice {
  std::string model;
  std::string mix;          // "a=0.6,b=0.4"
  std::string style_image;  // a file
};

// --model, --mix and --style-image; their forms are checked while the arguments are parsed.
void AddStyleChoice(CLI::App& command, StyleChoice& choice);

// Whether one of the three is there.
bool IsGiven(const StyleChoice& choice);

// Sets model, mix and style_image of `request`. Without --model the server is asked for its models:
// the only one that can do it is taken. FAILED_PRECONDITION: there is none, or there are several
// (the sentence names them); INVALID_ARGUMENT naming `style_image`: the file is too large; errors
// of ReadFile and of Client::ListModels.
absl::Status SetStyle(const StyleChoice& choice, client::Client& client,
                      v1::StylizeRequest& request);

}  // namespace atelier::cli
