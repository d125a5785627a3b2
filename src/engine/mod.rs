//! **What does this model answer?**
