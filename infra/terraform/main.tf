# Deploys the package of a release: uploads its programs and its template, and creates a CloudFormation stack of the template.
# docs/deploying.md describes the package. variables.tf is generated from the template's parameters.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "package_directory" {
  description = "Directory with the files of a release: template-<version>.yaml and the zip files."
  type        = string
}

variable "package_version" {
  description = "Version of the release, as in the name of its template: 0.1.0."
  type        = string
}

variable "code_bucket" {
  description = "Existing bucket for the programs and the template, in the region of the stack."
  type        = string
}

variable "code_prefix" {
  description = "Beginning of the keys in that bucket: empty, or with a slash at its end."
  type        = string
  default     = "onewrite/"
}

variable "stack_name" {
  description = "Name of the stack."
  type        = string
  default     = "onewrite"
}

variable "tags" {
  description = "Tags of the stack. CloudFormation gives them to its resources."
  type        = map(string)
  default     = {}
}

data "aws_s3_bucket" "code" {
  bucket = var.code_bucket
}

locals {
  template = "template-${var.package_version}.yaml"
  programs = [for function in ["ingest", "forward", "complete"] : "${function}-${coalesce(var.architecture, "arm64")}.zip"]

  # A parameter that is not set has the default of the template, also if an earlier deployment set it.
  parameters = merge(
    { for name, value in local.template_parameters : name => tostring(value) if value != null },
    { CodeBucket = var.code_bucket, CodePrefix = var.code_prefix },
  )
}

resource "aws_s3_object" "package" {
  for_each = toset(concat(local.programs, [local.template]))

  bucket      = var.code_bucket
  key         = "${var.code_prefix}${var.package_version}/${each.key}"
  source      = "${var.package_directory}/${each.key}"
  source_hash = filesha256("${var.package_directory}/${each.key}")

  # A rollback of the stack needs the programs of the version before, so they are deleted after the update.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "onewrite" {
  name         = var.stack_name
  template_url = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${aws_s3_object.package[local.template].key}"
  parameters   = local.parameters
  capabilities = ["CAPABILITY_IAM"]
  tags         = var.tags

  depends_on = [aws_s3_object.package]
}

output "outputs" {
  description = "The outputs of the stack, by the names in the template: NotificationQueueUrl and others."
  value       = aws_cloudformation_stack.onewrite.outputs
}
