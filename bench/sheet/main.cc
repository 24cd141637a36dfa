// atelier-sheet: writes one contact sheet of many pictures.
#include <CLI/CLI.hpp>
#include <iostream>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "client/sheet/contact_sheet.h"

namespace atelier::bench {
namespace {

int Fail(const std::string& sentence) {
  std::cerr << "atelier-sheet: " << sentence << '\n';
  return 1;
}

int WriteSheet(const std::vector<std::string>& arguments, const std::string& out,
               const sheet::SheetOptions& options) {
  std::vector<sheet::SheetCell> cells;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    if (equals == std::string::npos) {
      return Fail("\"" + argument + "\" is not LABEL=FILE");
    }
    const std::string file = argument.substr(equals + 1);
    cells.push_back({argument.substr(0, equals), cv::imread(file, cv::IMREAD_COLOR)});
    if (cells.back().picture.empty()) {
      return Fail("cannot read " + file);
    }
  }
  const absl::StatusOr<cv::Mat> made = sheet::MakeContactSheet(cells, options);
  if (!made.ok()) {
    return Fail(std::string(made.status().message()));
  }
  return cv::imwrite(out, *made) ? 0 : Fail("cannot write " + out);
}

int Main(int argc, char** argv) {
  CLI::App app("Writes one contact sheet of many pictures.", "atelier-sheet");
  std::vector<std::string> cells;
  std::string out;
  sheet::SheetOptions options;
  app.add_option("LABEL=FILE", cells, "The pictures, in the order of the sheet")->required();
  app.add_option("-o,--out", out, "The sheet, for example sheet.jpg")->required();
  app.add_option("--columns", options.columns, "Pictures in a row")->capture_default_str();
  app.add_option("--cell", options.cell_side, "Side of a cell in pixels")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return WriteSheet(cells, out, options);
  } catch (const cv::Exception& error) {  // for example an unknown extension
    return Fail(error.err);
  }
}

}  // namespace
}  // namespace atelier::bench

int main(int argc, char** argv) { return atelier::bench::Main(argc, argv); }
