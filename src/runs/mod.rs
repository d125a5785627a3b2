//! **What is already known?**
