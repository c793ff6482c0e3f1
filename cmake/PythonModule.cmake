# build/<preset>/python/whimbrel: the package as it will be installed, its Python files linked from python/, with _core built into it.
# -DWHIMBREL_PYTHON_MODULE=OFF leaves it out (the sanitizers' presets do).
set(Python_EXECUTABLE ${WHIMBREL_PYTHON})
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module OPTIONAL_COMPONENTS Development.SABIModule)
execute_process(COMMAND ${WHIMBREL_PYTHON} -m nanobind --cmake_dir OUTPUT_VARIABLE nanobind_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED)

file(GLOB python_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/python/src/*.cc)
# One file for every Python from 3.12 on; before, nanobind needs one for each.
nanobind_add_module(_core STABLE_ABI NB_STATIC NOMINSIZE PROTECT_STACK NB_SUPPRESS_WARNINGS ${python_sources})
foreach(library IN ITEMS nanobind-static-ps nanobind-static-abi3-ps)
  if(TARGET ${library})
    target_compile_options(${library} PRIVATE -w)
  endif()
endforeach()
add_dependencies(_core whimbrel_modules)
target_link_libraries(_core PRIVATE whimbrel_plan fmt::fmt)
target_compile_definitions(_core PRIVATE WHIMBREL_VERSION="${PROJECT_VERSION}")
set_target_properties(_core PROPERTIES WHIMBREL_PYTHON ON LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/python/whimbrel)

file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/python/whimbrel)
nanobind_add_stub(_core_stub MODULE _core OUTPUT ${PROJECT_BINARY_DIR}/python/whimbrel/_core.pyi
  PYTHON_PATH ${PROJECT_BINARY_DIR}/python/whimbrel DEPENDS _core)
if(NOT WHIMBREL_WHEEL)
  file(GLOB package RELATIVE ${PROJECT_SOURCE_DIR}/python/whimbrel CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/python/whimbrel/*)
  foreach(entry IN LISTS package)
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/python/whimbrel/${entry} ${PROJECT_BINARY_DIR}/python/whimbrel/${entry} SYMBOLIC)
  endforeach()
endif()
