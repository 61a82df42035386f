{
  "targets": [
    {
      "target_name": "cae_native",
      "type": "none",
      "actions": [
        {
          "action_name": "delegate to CMake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/cae_native.node"],
          "action": ["npm", "run", "build:native"]
        }
      ]
    }
  ]
}
