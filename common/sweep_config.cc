#include "common/sweep_config.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/json_reader.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

using Json = nlohmann::json;

// Cells that differ in these learn or measure something else.
constexpr std::string_view kFixed[] = {"family", "init_from", "data", "evaluate"};

struct Option {
  std::vector<std::string> path;  // {"gan", "loss"}
  std::vector<Json> values;

  std::string field() const { return absl::StrJoin(path, "."); }
};

std::string OptionPath(std::size_t place) {
  return "sweep.options[" + std::to_string(place) + "].";
}

// The same object with all keys in snake_case.
Json SnakeKeys(const Json& json) {
  if (!json.is_object()) {
    return json;
  }
  Json snake = Json::object();
  for (const auto& [key, value] : json.items()) {
    snake[SnakeCase(key)] = SnakeKeys(value);
  }
  return snake;
}

// Whether a field is left out as far as protobuf's JSON can tell: it may print defaults.
bool IsLeftOut(const Json& value) {
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    return text.empty() || text == "0" || text.ends_with("_UNSPECIFIED");
  }
  return value.is_null() || value == Json(false) || value == Json(0) ||
         (value.is_structured() && value.empty());
}

absl::StatusOr<Option> ReadOption(const Json& json, std::size_t place) {
  const std::string path = OptionPath(place);
  if (!json.is_object()) {
    return InvalidField(path.substr(0, path.size() - 1), "must be an object");
  }
  ObjectReader reader(json, path);
  std::string field;
  reader.ReadString("field", field);
  const Json values = reader.Take("values").value_or(Json::array());
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  Option option;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(field, '.'))) {
    option.path.push_back(SnakeCase(part));
    if (part.empty()) {
      return InvalidField(path + "field",
                          "must be the path of a field of TrainSpec, such as \"learning_rate\" or "
                          "\"gan.loss\"");
    }
  }
  if (std::ranges::find(kFixed, option.path.front()) != std::end(kFixed)) {
    return InvalidField(path + "field", "\"" + field +
                                            "\" cannot differ between cells: they would learn or "
                                            "measure something else and could not be compared");
  }
  if (!values.is_array() || values.size() < 2 || values.size() > kMaxSweepValues) {
    return InvalidField(path + "values",
                        "must be a list of 2 to " + std::to_string(kMaxSweepValues) + " values");
  }
  for (const Json& value : values) {
    if (!value.is_primitive() || value.is_null()) {
      return InvalidField(path + "values", "must be numbers, texts or truth values");
    }
    if (std::ranges::find(option.values, value) != option.values.end()) {
      return InvalidField(path + "values", "has " + value.dump() + " twice");
    }
    option.values.push_back(value);
  }
  return option;
}

absl::StatusOr<std::vector<Option>> ReadOptions(const Json& list) {
  if (!list.is_array() || list.empty() || list.size() > kMaxSweepOptions) {
    return InvalidField("sweep.options", "must hold 1 or 2 options, each with field and values");
  }
  std::vector<Option> options;
  std::size_t cells = 1;
  for (const Json& each : list) {
    ATELIER_ASSIGN_OR_RETURN(Option option, ReadOption(each, options.size()));
    if (!options.empty() && options.front().path == option.path) {
      return InvalidField(OptionPath(options.size()) + "field",
                          "\"" + option.field() + "\" is given twice");
    }
    cells *= option.values.size();
    options.push_back(std::move(option));
  }
  if (cells > kMaxSweepCells) {
    return InvalidField("sweep.options", "make " + std::to_string(cells) +
                                             " cells; a sweep has at most " +
                                             std::to_string(kMaxSweepCells));
  }
  return options;
}

// Puts the value into the TrainSpec; the field must not be there.
absl::Status Set(Json& train, const Option& option, const std::string& field, const Json& value) {
  Json* place = &train;
  for (const std::string& part : option.path) {
    if (place->is_null()) {
      *place = Json::object();
    }
    if (!place->is_object()) {
      return InvalidField(field, "\"" + option.field() +
                                     "\" lies within another field that is no "
                                     "message");
    }
    place = &(*place)[part];
  }
  if (!IsLeftOut(*place)) {
    return InvalidField(field, "\"" + option.field() +
                                   "\" is set in train as well, which its values would contradict; "
                                   "leave it out there");
  }
  *place = value;
  return absl::OkStatus();
}

absl::StatusOr<SweepCell> MakeCell(Json train, const std::vector<Option>& options,
                                   const std::vector<std::size_t>& chosen, std::size_t number) {
  SweepCell cell;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const Json& value = options[i].values[chosen[i]];
    ATELIER_RETURN_IF_ERROR(Set(train, options[i], OptionPath(i) + "field", value));
    cell.options[options[i].field()] = value;
    cell.name += (cell.name.empty() ? "" : ", ") + options[i].field() + "=" +
                 (value.is_string() ? value.get<std::string>() : value.dump());
  }
  absl::StatusOr<TrainConfig> config = ParseTrainConfig(train.dump());
  if (!config.ok()) {
    const std::string field = FieldOf(config.status()).value_or("train");
    std::string sentence(config.status().message());
    if (sentence.starts_with(field + ": ")) {
      sentence.erase(0, field.size() + 2);
    }
    return InvalidField("sweep." + field,
                        "in cell " + std::to_string(number) + " (" + cell.name + "): " + sentence);
  }
  if (!config->evaluate.on()) {
    return InvalidField("sweep.train.evaluate",
                        "is missing: a sweep measures its cells to tell which is the best");
  }
  cell.config = *std::move(config);
  return cell;
}

}  // namespace

absl::StatusOr<SweepConfig> ParseSweep(std::string_view json) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidField(kSweep, "is not a JSON object");
  }
  ObjectReader reader(object, "sweep.");
  const Json train = SnakeKeys(reader.ReadObject("train"));
  const Json list = reader.Take("options").value_or(Json::array());
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_ASSIGN_OR_RETURN(const std::vector<Option> options, ReadOptions(list));
  SweepConfig sweep;
  std::vector<std::size_t> chosen(options.size(), 0);
  while (true) {
    ATELIER_ASSIGN_OR_RETURN(SweepCell cell,
                             MakeCell(train, options, chosen, sweep.cells.size() + 1));
    sweep.cells.push_back(std::move(cell));
    std::size_t last = options.size();
    while (last > 0 && ++chosen[last - 1] == options[last - 1].values.size()) {
      chosen[--last] = 0;
    }
    if (last == 0) {
      return sweep;
    }
  }
}

}  // namespace atelier
