// whimbrel._core: what of the C++ core Python calls. python/whimbrel gives it its public face.
#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "arrays.h"
#include "interruptible.h"
#include "whimbrel/audio.h"
#include "whimbrel/features.h"
#include "whimbrel/models.h"
#include "whimbrel/pipeline.h"
#include "whimbrel/plan.h"

namespace nb = nanobind;

namespace whimbrel::python {
namespace {

// Paths are bytes: Python's surrogateescape keeps those that are not UTF-8.
std::string bytes_of(nb::handle path) {
  nb::object fs_path = nb::steal<nb::object>(PyOS_FSPath(path.ptr()));
  if (!fs_path.is_valid()) throw nb::python_error();
  if (PyBytes_Check(fs_path.ptr())) return {PyBytes_AsString(fs_path.ptr()), static_cast<std::size_t>(nb::len(fs_path))};
  const auto bytes = nb::steal<nb::object>(PyUnicode_EncodeFSDefault(fs_path.ptr()));
  if (!bytes.is_valid()) throw nb::python_error();
  return {PyBytes_AsString(bytes.ptr()), static_cast<std::size_t>(nb::len(bytes))};
}

nb::object text_of(const std::string& path) {
  return nb::steal<nb::object>(PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size())));
}

std::vector<std::string> strings_of(const nb::list& paths) {
  std::vector<std::string> strings;
  for (const nb::handle path : paths) strings.push_back(bytes_of(path));
  return strings;
}

/// Sets what `words` have; an absent key keeps the default.
template <class T>
void set(const nb::dict& words, const char* key, T& value) {
  if (words.contains(key)) value = nb::cast<T>(words[key]);
}

void set_path(const nb::dict& words, const char* key, std::filesystem::path& value) {
  if (words.contains(key)) value = bytes_of(words[key]);
}

template <class T>
void set_some(const nb::dict& words, const char* key, std::optional<T>& value) {
  if (words.contains(key)) value = nb::cast<T>(words[key]);
}

PredictOptions options_of(const nb::list& models, const nb::dict& words) {
  PredictOptions options;
  options.models = find_models(strings_of(models));
  set(words, "engine", options.engine);
  set(words, "threads", options.threads);
  if (words.contains("max_memory")) options.max_memory_bytes = size_from_string(nb::cast<std::string>(words["max_memory"]));
  set(words, "batch", options.batch);
  set(words, "hop_s", options.window_hop_s);
  set(words, "threshold", options.threshold);
  set(words, "top_k", options.top_k);
  set(words, "embeddings", options.embeddings);
  set(words, "mean_power", options.mean_power);
  if (words.contains("mean")) options.mean = mean_from_string(nb::cast<std::string>(words["mean"]));
  auto& post = options.post;
  set(words, "ignore_postprocess", post.ignore_manifest);
  set_some(words, "smooth", post.smooth);
  if (words.contains("prior")) post.prior = prior_from_string(nb::cast<std::string>(words["prior"]));
  set_some(words, "prior_power", post.prior_power);
  set_some(words, "merge_gap_s", post.merge_gap_s);
  set_path(words, "species_list", post.species_list);
  set_path(words, "thresholds", post.thresholds);
  set(words, "events", post.events);
  set_some(words, "event_median_frames", post.event_median_frames);
  set_some(words, "event_high", post.event_high);
  set_some(words, "event_low", post.event_low);
  set_some(words, "tta_shifts_s", post.tta_shifts_s);
  return options;
}

class PyPrediction {
 public:
  explicit PyPrediction(Prediction found) : found_(std::move(found)) {}

  const Prediction& get() const { return found_; }

  /// Of each window or detection, in seconds.
  template <class Rows, class Sample>
  nb::ndarray<nb::numpy, double> seconds(const Rows& rows, Sample sample) const {
    std::vector<double> seconds(rows.size());
    std::transform(rows.begin(), rows.end(), seconds.begin(),
                   [&](const auto& row) { return static_cast<double>(sample(row)) / found_.grid.sample_rate_hz; });
    const std::size_t size = seconds.size();
    return array_of(std::move(seconds), {size});
  }

  nb::list labels() const {
    nb::list labels;
    for (const auto& label : found_.labels) labels.append(nb::make_tuple(label.text, label.scientific, label.common));
    return labels;
  }

  nb::tuple detections() const {
    const auto& all = found_.detections;
    std::vector<std::uint32_t> recording, label;
    std::vector<float> confidence;
    for (const auto& d : all) {
      recording.push_back(d.recording);
      label.push_back(d.label);
      confidence.push_back(d.confidence);
    }
    return nb::make_tuple(array_of(std::move(recording), {all.size()}), array_of(std::move(label), {all.size()}),
                          seconds(all, [](const auto& d) { return d.start; }),
                          seconds(all, [](const auto& d) { return d.end; }), array_of(std::move(confidence), {all.size()}));
  }

 private:
  Prediction found_;
};

class PyPredictor {
 public:
  PyPredictor(const nb::list& models, const nb::object& plan, const nb::dict& words) {
    auto options = options_of(models, words);
    const std::string plan_path = plan.is_none() ? "" : bytes_of(plan);
    Conversation conversation;
    conversation.run(
        [&] {
          if (!plan_path.empty()) apply_plan(read_plan(plan_path), options);
          predictor_ = std::make_unique<Predictor>(options);
        },
        nb::none());
  }

  PyPrediction predict(const nb::list& inputs, const std::vector<std::tuple<std::string, FloatArray, int>>& samples,
                       double budget_s, const nb::object& on_progress) {
    Conversation conversation;
    PredictRequest request{.inputs = strings_of(inputs), .budget_s = budget_s, .cancel = &conversation.cancel()};
    for (const auto& [name, array, rate] : samples)
      request.samples.push_back({name, {array.data(), array.data() + array.size()}, rate});
    request.on_progress = [&](const Progress& progress) { conversation.tell(progress); };
    Prediction found;
    conversation.run([&] { found = predictor_->predict(request); }, on_progress);
    return PyPrediction(std::move(found));
  }

  const Predictor& get() const { return *predictor_; }

 private:
  std::unique_ptr<Predictor> predictor_;
};

/// A front end for signals of any length; the last length's buffers are kept.
class PyMel {
 public:
  PyMel(const MelConfig& config, int sample_rate_hz) : config_(config), sample_rate_hz_(sample_rate_hz) {
    validate(config, sample_rate_hz);
  }

  nb::ndarray<nb::numpy, float> operator()(const FloatArray& samples) {
    std::vector<float> plane;
    std::size_t bands = 0, frames = 0;
    {
      nb::gil_scoped_release release;
      const std::lock_guard lock(mutex_);
      const auto length = static_cast<std::int64_t>(samples.size());
      if (!front_end_ || length != length_)
        front_end_.emplace(config_, sample_rate_hz_, length, std::max<std::int64_t>(length, 1));
      length_ = length;
      front_end_->restart();
      bands = static_cast<std::size_t>(front_end_->bands());
      frames = static_cast<std::size_t>(front_end_->frames());
      plane.resize(bands * frames);
      front_end_->compute({samples.data(), samples.size()}, plane);
    }
    return array_of(std::move(plane), {bands, frames});
  }

  nb::ndarray<nb::numpy, float> filter_bank() const {
    return array_of(mel_filter_bank(config_, sample_rate_hz_),
                    {static_cast<std::size_t>(config_.n_mels), static_cast<std::size_t>(config_.n_fft / 2 + 1)});
  }

 private:
  MelConfig config_;
  int sample_rate_hz_;
  std::mutex mutex_;
  std::optional<MelFrontEnd> front_end_;
  std::int64_t length_ = 0;
};

/// The samples of [start_s, start_s + duration_s) at `rate_hz` (0: the recording's own), and the rate.
nb::tuple read_audio(nb::handle path, int rate_hz, double start_s, double duration_s) {
  const std::string name = bytes_of(path);
  std::vector<float> samples;
  Conversation conversation;
  conversation.run([&] { samples = read_samples(name, rate_hz, start_s, duration_s, &rate_hz); }, nb::none());
  const std::size_t size = samples.size();
  return nb::make_tuple(array_of(std::move(samples), {size}), rate_hz);
}

/// What is said of a front end in Python is an argument, not a manifest.
MelConfig mel_config_of(const std::string& keys) {
  try {
    return mel_config_from_toml(keys);
  } catch (const Error& error) {
    throw Error(ErrorCode::invalid_argument, error.what());
  }
}

/// The mel front end of a model.
std::unique_ptr<PyMel> mel_of_model(nb::handle model) {
  const auto manifest = load_manifest(bytes_of(model));
  if (manifest.kind != InputKind::mel) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: the model hears waveforms, expected one with [input.mel]", manifest.path.string()));
  }
  return std::make_unique<PyMel>(manifest.mel, manifest.sample_rate_hz);
}

void translate(const std::exception_ptr& failure, void* type) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    const std::string_view code = to_string(error.code());
    const std::string_view words = error.what();
    const auto message =
        nb::steal<nb::object>(PyUnicode_DecodeUTF8(words.data(), static_cast<Py_ssize_t>(words.size()), "replace"));
    const auto exception = nb::handle(static_cast<PyObject*>(type))(nb::str(code.data(), code.size()), message);
    PyErr_SetObject(static_cast<PyObject*>(type), exception.ptr());
  }
}

void bind_predictor(nb::module_& m) {
  nb::class_<PyPrediction>(m, "Prediction")
      .def_prop_ro(
          "scores",
          [](nb::handle_t<PyPrediction> self) {
            const auto& p = nb::cast<const PyPrediction&>(self).get();
            return view_of(p.scores, {p.recording.size(), p.labels.size()}, self);
          },
          nb::rv_policy::automatic)
      .def_prop_ro(
          "embeddings",
          [](nb::handle_t<PyPrediction> self) -> nb::object {
            const auto& p = nb::cast<const PyPrediction&>(self).get();
            if (p.embedding_size == 0) return nb::none();
            return nb::cast(view_of(p.embeddings, {p.embeddings.size() / p.embedding_size, p.embedding_size}, self));
          },
          nb::rv_policy::automatic)
      .def_prop_ro(
          "recording",
          [](nb::handle_t<PyPrediction> self) {
            const auto& p = nb::cast<const PyPrediction&>(self).get();
            return view_of(p.recording, {p.recording.size()}, self);
          },
          nb::rv_policy::automatic)
      .def_prop_ro(
          "filled",
          [](nb::handle_t<PyPrediction> self) {
            const auto& p = nb::cast<const PyPrediction&>(self).get();
            return view_of(p.filled, {p.filled.size()}, self);
          },
          nb::rv_policy::automatic)
      .def_prop_ro(
          "start_s",
          [](const PyPrediction& self) {
            const auto hop = self.get().grid.hop_samples;
            return self.seconds(self.get().window, [hop](auto index) { return index * hop; });
          },
          nb::rv_policy::automatic)
      .def_prop_ro(
          "end_s",
          [](const PyPrediction& self) {
            const auto grid = self.get().grid;
            return self.seconds(self.get().window,
                                [grid](auto index) { return index * grid.hop_samples + grid.window_samples; });
          },
          nb::rv_policy::automatic)
      .def_prop_ro("labels", &PyPrediction::labels)
      .def_prop_ro("detections", &PyPrediction::detections)
      .def_prop_ro("paths",
                   [](const PyPrediction& self) {
                     nb::list paths;
                     for (const auto& recording : self.get().run.recordings) paths.append(text_of(recording.path.string()));
                     return paths;
                   })
      .def_prop_ro("cancelled", [](const PyPrediction& self) { return self.get().run.cancelled; })
      .def_prop_ro("record", [](const PyPrediction& self) { return self.get().record; })
      .def(
          "write",
          [](const PyPrediction& self, const std::vector<std::string>& formats, nb::handle folder, nb::handle sample,
             bool absolute_time) {
            std::vector<std::filesystem::path> files;
            const std::string out = bytes_of(folder), sample_path = sample.is_none() ? "" : bytes_of(sample);
            {
              nb::gil_scoped_release release;
              files = write_prediction(self.get(), formats, out, sample_path, absolute_time);
            }
            LogQueue::get().deliver();
            nb::list written;
            for (const auto& file : files) written.append(text_of(file.string()));
            return written;
          },
          nb::arg("formats"), nb::arg("folder"), nb::arg("sample_submission").none() = nb::none(),
          nb::arg("absolute_time") = false);
  nb::class_<PyPredictor>(m, "Predictor")
      .def(nb::init<const nb::list&, const nb::object&, const nb::dict&>(), nb::arg("models"), nb::arg("plan").none(),
           nb::arg("words"))
      .def("predict", &PyPredictor::predict, nb::arg("inputs"), nb::arg("samples"), nb::arg("budget_s"),
           nb::arg("on_progress").none())
      .def_prop_ro("labels",
                   [](const PyPredictor& self) {
                     std::vector<std::string> labels;
                     for (const auto& label : self.get().labels()) labels.push_back(label.text);
                     return labels;
                   })
      .def_prop_ro("sample_rate_hz", [](const PyPredictor& self) { return self.get().grid().sample_rate_hz; })
      .def_prop_ro("window_s",
                   [](const PyPredictor& self) {
                     return static_cast<double>(self.get().grid().window_samples) / self.get().grid().sample_rate_hz;
                   })
      .def_prop_ro("hop_s", [](const PyPredictor& self) {
        return static_cast<double>(self.get().grid().hop_samples) / self.get().grid().sample_rate_hz;
      });
}

}  // namespace
}  // namespace whimbrel::python

NB_MODULE(_core, m) {
  using namespace whimbrel::python;  // NOLINT(google-build-using-namespace)
  m.attr("__version__") = WHIMBREL_VERSION;
  whimbrel::set_log_sink([](whimbrel::LogLevel level, std::string_view message) { LogQueue::get().push(level, message); });
  m.def("setup", [](nb::object error_type, nb::object log_receiver) {
    LogQueue::get().set_receiver(std::move(log_receiver));
    nb::register_exception_translator(&translate, error_type.release().ptr());  // lives as long as the process
  });
  bind_predictor(m);
  nb::class_<PyMel>(m, "Mel")
      .def(
          "__init__", [](PyMel* self, const std::string& keys, int rate) { new (self) PyMel(mel_config_of(keys), rate); },
          nb::arg("keys"), nb::arg("sample_rate_hz"))
      .def("__call__", &PyMel::operator(), nb::arg("samples"))
      .def("filter_bank", &PyMel::filter_bank);
  m.def("mel_of_model", &mel_of_model, nb::arg("model"));
  m.def("recording_extensions", &whimbrel::recording_extensions);
  m.def("read_audio", &read_audio, nb::arg("path"), nb::arg("sample_rate_hz"), nb::arg("start_s"), nb::arg("duration_s"));
}
