// std::vector -> NumPy array without a copy.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace whimbrel::python {

/// An array that owns `values`.
template <class T>
nanobind::ndarray<nanobind::numpy, T> array_of(std::vector<T> values, std::initializer_list<std::size_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  nanobind::capsule owner(owned.release(), [](void* pointer) noexcept { delete static_cast<std::vector<T>*>(pointer); });
  return nanobind::ndarray<nanobind::numpy, T>(data, shape, owner);
}

/// An array that looks into an object which lives as long.
template <class T>
nanobind::ndarray<nanobind::numpy, const T> view_of(const std::vector<T>& values, std::initializer_list<std::size_t> shape,
                                                    nanobind::handle owner) {
  return nanobind::ndarray<nanobind::numpy, const T>(values.data(), shape, owner);
}

using FloatArray = nanobind::ndarray<const float, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;

}  // namespace whimbrel::python
